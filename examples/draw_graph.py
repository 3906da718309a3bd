"""Draw computation graphs: a neuron, a classifier's loss fused and unfused, and a network."""

import argparse
from pathlib import Path

import numpy as np

import autograd_lite as ag


def neuron():
    """Return the output of one neuron of two inputs."""
    x1 = ag.Tensor(2.0, requires_grad=True, name="x1")
    x2 = ag.Tensor(0.0, requires_grad=True, name="x2")
    w1 = ag.Tensor(-3.0, requires_grad=True, name="w1")
    w2 = ag.Tensor(1.0, requires_grad=True, name="w2")
    b = ag.Tensor(6.881373587, requires_grad=True, name="b")
    output = np.tanh(x1 * w1 + x2 * w2 + b)
    output.name = "output"
    return output


def iris():
    """Return the measurements of 150 irises, standardised, and their species as numbers."""
    path = Path(__file__).parent / "data" / "iris.csv"
    rows = np.loadtxt(path, delimiter=",", skiprows=1, dtype=str)
    x = rows[:, :-1].astype(float)
    return (x - x.mean(axis=0)) / x.std(axis=0), np.unique(rows[:, -1], return_inverse=True)[1]


def classifier(x, species):
    """Return functions for the loss of a softmax classifier, one fused node and many composed."""
    rng = np.random.default_rng(0)
    W = ag.Tensor(rng.normal(size=(4, 3)), requires_grad=True, name="W")
    b = ag.Tensor(np.zeros(3), requires_grad=True, name="b")
    losses = ag.cross_entropy, ag.unfused_cross_entropy
    return [lambda loss=loss: loss(x @ W + b, species) for loss in losses]


def network():
    """Return a network with two hidden layers."""
    rng = np.random.default_rng(0)
    layers = [ag.nn.Linear(m, n, rng=rng, dtype=float) for m, n in ((4, 16), (16, 16), (16, 3))]
    return ag.nn.Sequential(layers[0], np.tanh, layers[1], np.tanh, layers[2])


def main():
    """Save the pictures, and a page that compares the two losses, into a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out"), help="the folder (default: out)")
    parser.add_argument("--format", default="svg", choices=["svg", "png", "pdf", "dot"])
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    # The graphs call them what these variables are called.
    x, species = iris()
    model = network()
    with ag.recording():  # every value, also large ones that no rule needs
        loss = ag.cross_entropy(model(x), species)
    losses = classifier(x, species)
    comparison = ag.compare_graphs(*losses, titles=("fused", "unfused"))
    print(comparison)
    graphs = {
        "neuron": ag.graph(neuron(), grads=True),
        "iris_fused": comparison.graphs[0],
        "iris_unfused": comparison.graphs[1],
        "network": ag.graph(loss, grads=True),
    }
    try:
        for name, graph in graphs.items():
            print("drawn:", graph.save(options.out / f"{name}.{options.format}"))
        print("to step through:", comparison.save(options.out / "iris.html"))
    except RuntimeError as no_engine:
        print(no_engine)


if __name__ == "__main__":
    main()
