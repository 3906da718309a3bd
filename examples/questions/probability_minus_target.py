"""Whether the derivative in the weights is (P − t) x."""

import numpy as np

import autograd_lite as ag
from examples.questions import page


def answer(pictures=page.PICTURES):
    """Print the question, what the engine computes, and the answer."""
    page.show(
        "Is the derivative in the weights (P − t) x?",
        """With P = softmax(x W), target t and loss C: is dC/dw_0j = (P_j − 1) x₀ for the true class
        j, and dC/dw_0i = P_i x₀ for the others?""",
    )
    page.say(
        """**Yes**, and so for every weight: dC/dw_ki = (P_i − t_i) x_k. It is a product of two
        numbers, how wrong the class's probability is and how large the input was. It is zero
        exactly where the probability equals the target (or the input is 0). A one-hot target is
        never reached by finite logits, so there the gradient gets small but stays."""
    )
    x, t = np.array([[0.5, -1.2, 2.0]]), np.array([[0, 1, 0]])
    W = np.array([[0.2, -0.3, 0.1], [0.0, 0.4, -0.2], [0.3, 0.1, -0.5]])
    P = ag.softmax(x @ W)[0]
    page.say("Three inputs x = (0.5, −1.2, 2), three classes, of which class 1 is true:")
    page.block(f"P = ({P[0]:.6f}, {P[1]:.6f}, {P[2]:.6f})")
    losses = page.fused_and_unfused(lambda W, cross_entropy: cross_entropy(x @ W, [1]), W, "W")
    page.draw("probability_minus_target", pictures, losses[0], x=x)

    def loss_of(W):
        return ag.cross_entropy(x @ W, [1])

    page.say("The claim, as xᵀ(P − t):")
    page.block(ag.check_closed_form(loss_of, lambda W: x.T @ (ag.softmax(x @ W) - t), W))
    page.say("The two mistakes that are made most. With the sign flipped, xᵀ(t − P):")
    page.block(ag.check_closed_form(loss_of, lambda W: x.T @ (t - ag.softmax(x @ W)), W))
    page.say("Transposed, (P − t)ᵀx:")
    page.block(ag.check_closed_form(loss_of, lambda W: (ag.softmax(x @ W) - t).T @ x, W))
    page.say("Where the probability equals the target, with the soft target t = P:")
    gradient = ag.grad(lambda W: ag.cross_entropy(x @ W, P[None]))(W)
    page.block(f"every |dC/dw| is below 1e-15: {np.abs(gradient).max() < 1e-15}")


if __name__ == "__main__":
    answer()
