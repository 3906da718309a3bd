"""How dL/dW is found for one row of Iris."""

import numpy as np

import autograd_lite as ag
from examples.questions import page


def answer(pictures=page.PICTURES):
    """Print the question, what the engine computes, and the answer."""
    page.show(
        "How do I get dL/dW for my Iris example?",
        """x = (1.9, 0.4), W = [[0.1, 0.5], [0.1, 0.5]], no bias, label 0. I get −(1/a₀)(∂a₀/∂z₀) x.

        A reply said: −P_j (1 − a_j) x, where P is the target and a the softmax.""",
    )
    x, y = np.array([[1.9, 0.4]]), np.array([[1, 0]])
    W = np.array([[0.1, 0.5], [0.1, 0.5]])
    z = x @ W
    p = ag.softmax(z)[0]
    page.say(
        f"""**dL/dW = xᵀ(ŷ − y).** Both claims are right for the label's column, where ŷ₀ − 1 =
        −(1 − a₀), and wrong for the other: P₁ is 0 there, but z₁ stands in the denominator of
        a₀, so its column has the gradient +ŷ₁ x = ({p[1] * 1.9:.6f}, {p[1] * 0.4:.6f})."""
    )
    page.say("Forward:")
    page.block(f"z = ({z[0, 0]:.2f}, {z[0, 1]:.2f})", f"ŷ = ({p[0]:.6f}, {p[1]:.6f})")
    losses = page.fused_and_unfused(lambda W, cross_entropy: cross_entropy(x @ W, [0]), W, "W")
    page.say(
        f"""Where 1.255413 is quoted for the loss, the probability had been rounded to 0.284958
        first; unrounded it is {losses[0].item():.8f}."""
    )
    page.draw("iris_weights", pictures, losses[0], x=x)

    def loss_of(W):
        return ag.cross_entropy(x @ W, [0])

    def question(W):  # ∂a₀/∂z₀ = a₀ (1 − a₀), and the other column's loss is not looked at
        a = ag.softmax(x @ W)
        return np.outer(x, [-(1 / a[0, 0]) * a[0, 0] * (1 - a[0, 0]), 0])

    def reply(W):
        return x.T @ (-y * (1 - ag.softmax(x @ W)))

    def right(W):
        return x.T @ (ag.softmax(x @ W) - y)

    for text, claim in (
        (
            "The question's −(1/a₀)(∂a₀/∂z₀) x, for the label's column, with zero beside it:",
            question,
        ),
        ("The reply's −P_j (1 − a_j) x:", reply),
        ("xᵀ(ŷ − y):", right),
    ):
        page.say(text)
        page.block(ag.check_closed_form(loss_of, claim, W))


if __name__ == "__main__":
    answer()
