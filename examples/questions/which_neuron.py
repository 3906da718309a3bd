"""How the loss knows which output to raise."""

import numpy as np

import autograd_lite as ag
from examples.questions import page


def answer(pictures=page.PICTURES):
    """Print the question, what the engine computes, and the answer."""
    page.show(
        "If only one neuron's loss counts, how does it know which to raise?",
        """Five outputs, label 2: only −log ŷ₂ is in the loss. How does the network learn that the
        other four should fall? And does the gradient sum to 1?""",
    )
    page.say(
        """**By the sign.** dJ/dz₂ = ŷ₂ − 1 is never positive, and every other dJ/dz_n = ŷ_n is
        never negative. A step against the gradient raises the labelled output and lowers all the
        others, each in proportion to the probability it wrongly holds. The entries of ŷ sum to 1,
        and so do those of y; the gradient is their difference, so its entries sum to exactly 0 (on
        a computer, to rounding): what the label gains, the others lose."""
    )
    z = np.array([0.5, -1.0, 2.0, 0.0, 1.0])
    label, y = 2, np.array([0, 0, 1, 0, 0])

    def loss_of(z):
        return ag.logsumexp(z) - z[label]

    page.say("J = −z₂ + log Σ exp z, here at z = (0.5, −1, 2, 0, 1):")
    losses = page.fused_and_unfused(lambda z, cross_entropy: cross_entropy(z, label), z, "z")
    page.draw("which_neuron", pictures, losses[0])
    page.say("Written out as J, against dJ/dz = ŷ − y:")
    page.block(ag.check_closed_form(loss_of, lambda z: ag.softmax(z) - y, z))
    page.say("And against ŷ, which does sum to 1:")
    page.block(ag.check_closed_form(loss_of, ag.softmax, z))
    page.say("The entries of the gradient, for 200,000 rows of five random logits:")
    rng = np.random.default_rng(0)
    many = rng.normal(size=(200_000, 5)) * 3
    labels = rng.integers(5, size=len(many))
    g = ag.grad(lambda z: ag.cross_entropy(z, labels, reduction="sum"))(many)
    summed = np.abs(g.sum(axis=1)) < 1e-15
    negative = ((g < 0) == np.eye(5, dtype=bool)[labels]).all(axis=1)
    page.block(
        f"sum to 0 within 1e-15               in {np.mean(summed):.0%}",
        f"only the label's entry is negative  in {np.mean(negative):.0%}",
    )


if __name__ == "__main__":
    answer()
