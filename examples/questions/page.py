"""What the pages share: paragraphs, blocks, and a loss computed fused and unfused."""

from pathlib import Path
from textwrap import fill

import numpy as np

import autograd_lite as ag
from autograd_lite.checks import ulp_distance

ABOUT = "Five questions about softmax and cross-entropy, answered by running them."
PICTURES = Path("out/questions")
FRAME = (
    'title="Backpropagation, step by step" width="100%" height="560" '
    'style="border: 1px solid #8886" loading="lazy"'
)


def say(text, before=""):
    """Print the paragraphs of a text, filled."""
    for paragraph in text.split("\n\n"):
        words = " ".join(paragraph.split())
        print(fill(words, 88, initial_indent=before, subsequent_indent=before), end="\n\n")


def block(*lines):
    """Print lines as they stand."""
    print("```text", *lines, "```", "", sep="\n")


def show(title, asked):
    """Print a heading and the question."""
    print(f"## {title}\n")
    say(asked, before="> ")


def fused_and_unfused(loss_of, values, name):
    """Print a loss and its gradient by both cross-entropies, and return both losses.

    ``loss_of(tensor, cross_entropy)`` computes the loss from a tensor of the values.
    """
    found = []
    lines = []
    for label, cross_entropy in (
        ("fused", ag.cross_entropy),
        ("unfused", ag.unfused_cross_entropy),
    ):
        tensor = ag.Tensor(values, requires_grad=True, name=name)
        loss = loss_of(tensor, cross_entropy)
        loss.backward()
        found.append((loss, tensor.grad))
        gradient = np.array2string(tensor.grad, precision=6, suppress_small=True)
        lines += [f"{label}: loss {loss.item():.6f}, dL/d{name}", gradient]
    apart = ulp_distance(found[1][1], found[0][1])
    block(*lines, f"the gradients differ by {apart:.3g} ulp at most")
    return found[0][0], found[1][0]


def draw(name, pictures, fused, unfused=None, **names):
    """Draw the graph of the fused loss, and below it that of the unfused loss, if given.

    The latter is also written as a page to step through. The names are those of arrays in it.
    """
    pictures.mkdir(parents=True, exist_ok=True)
    for loss, end, direction in ((fused, "", "LR"), (unfused, "_unfused", "TB")):
        if loss is None:
            continue
        loss.name = "loss"
        path = pictures / f"{name}{end}.svg"
        try:
            ag.graph(loss, names=names, grads=True, direction=direction).save(path)
        except RuntimeError as no_engine:
            say(str(no_engine))
        else:
            print(f"![The graph of the loss]({path.as_posix()})\n")
            if loss is unfused:
                page = ag.graph(loss, names=names).save(path.with_suffix(".html")).as_posix()
                print(f"Step through it here, or [in a window of its own]({page}):\n")
                print(f'<iframe src="{page}" {FRAME}></iframe>\n')
