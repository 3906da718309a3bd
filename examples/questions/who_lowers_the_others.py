"""Whether the cross-entropy or gradient descent lowers the other classes."""

import numpy as np

import autograd_lite as ag
from examples.questions import page


def answer(pictures=page.PICTURES):
    """Print the question, what the engine computes, and the answer."""
    page.show(
        "Is it the cross-entropy or gradient descent that lowers the other classes?",
        """The loss looks at the right class alone: with ŷ = (0.3, 0.6, 0.1) and y = (1, 0, 0) it
        is −log 0.3. So what pushes the other two down?""",
    )
    page.say(
        """**Both: the loss says where down is, descent goes there.** The loss reads one
        probability, but that probability is e^z₀ / (e^z₀ + e^z₁ + e^z₂). Every logit stands in
        the denominator, so the gradient reaches all of them: −0.7 for the right class, which
        descent raises, +0.6 and +0.1 for the others, which it lowers, the likelier one more."""
    )
    z, y = np.log([0.3, 0.6, 0.1]), np.array([1, 0, 0])
    page.say("Logits with these probabilities, and the gradient on them:")
    losses = page.fused_and_unfused(lambda z, cross_entropy: cross_entropy(z, 0), z, "z")
    page.draw("who_lowers_the_others", pictures, *losses)
    page.say(
        """The second graph is the loss written out. Each box shows its value and, below, the
        derivative of the loss with respect to it. Two paths lead from z to the loss: the one on
        the right reads the label's logit alone and brings back −1 for it; the one on the left
        passes through the sum, and brings back ŷ for all three."""
    )
    page.say("The closed form, ŷ − y:")
    page.block(
        ag.check_closed_form(lambda z: ag.cross_entropy(z, 0), lambda z: ag.softmax(z) - y, z)
    )
    page.say("The belief behind the question, (ŷ − y) y:")
    page.block(
        ag.check_closed_form(lambda z: ag.cross_entropy(z, 0), lambda z: (ag.softmax(z) - y) * y, z)
    )
    page.say("Gradient descent with step 1, z ← z − (ŷ − y):")
    lines, raised, before = [], True, 0.0
    for step in range(36):
        p = ag.softmax(z)
        raised, before = raised and p[0] > before, p[0]
        if step % 5 == 0:
            lines.append(f"step {step:2d}   ŷ = ({p[0]:.4f}, {p[1]:.4f}, {p[2]:.4f})")
        z = z - ag.grad(ag.cross_entropy)(z, 0)
    page.block(*lines, f"the right class's probability rose at every step: {raised}")
    page.say(
        """In every row the probabilities sum to 1, as those of a softmax must; in the numbers that
        were posted with the question the later rows do not, so they come from no softmax."""
    )


if __name__ == "__main__":
    answer()
