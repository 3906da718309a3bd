"""Whether the gradient is zero for the classes that are not the label."""

import numpy as np

import autograd_lite as ag
from examples.questions import page


def answer(pictures=page.PICTURES):
    """Print the question, what the engine computes, and the answer."""
    page.show(
        "Surely the gradient is zero for the classes that are not the label?",
        """ŷ = (0.1, 0.2, 0.1, 0.4, 0.2), label 3. Only ŷ₃ is in the loss, so the gradient should be
        (0, 0, 0, y − ŷ, 0).""",
    )
    page.say(
        """**No: it is ŷ − y = (0.1, 0.2, 0.1, −0.6, 0.2).** The claim has two mistakes: four cells
        are left at zero, and the fifth has the wrong sign. The intuition behind it is right for
        another question. In the *probabilities* the gradient is zero for the other classes, as the
        last table shows. But a network sets logits, and each logit moves all the probabilities:
        the softmax's own derivative carries −1/ŷ₃ to every one of them."""
    )
    z, label, y = np.log([0.1, 0.2, 0.1, 0.4, 0.2]), 3, np.array([0, 0, 0, 1, 0])
    losses = page.fused_and_unfused(lambda z, cross_entropy: cross_entropy(z, label), z, "z")
    page.draw("zero_for_other_classes", pictures, losses[0])

    def loss_of(z):
        return ag.cross_entropy(z, label)

    page.say("The claim:")
    page.block(ag.check_closed_form(loss_of, lambda z: (y - ag.softmax(z)) * y, z))
    page.say("ŷ − y:")
    page.block(ag.check_closed_form(loss_of, lambda z: ag.softmax(z) - y, z))
    page.say("The gradient in ŷ, not in the logits, if the five ŷ could be moved one by one:")
    p = np.array([0.1, 0.2, 0.1, 0.4, 0.2])
    page.block(ag.check_closed_form(lambda p: -np.log(p[label]), lambda p: -y / p, p))


if __name__ == "__main__":
    answer()
