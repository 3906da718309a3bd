"""Train a model that guesses the next character of Shakespeare's sonnets, and let it write.

The characters before are embedded, joined and passed through a hidden layer, as in Bengio et al.
(2003), "A neural probabilistic language model".
"""

import argparse
from pathlib import Path

import numpy as np

import autograd_lite as ag
from autograd_lite import nn

CONTEXT = 4  # characters that the next one is guessed from


class CharacterModel(nn.Module):
    """Logits of the next character, given the numbers of those before."""

    def __init__(self, alphabet, rng, width=16, hidden=128):
        self.embedding = nn.Embedding(alphabet, width, rng=rng)
        self.hidden = nn.Linear(CONTEXT * width, hidden, rng=rng)
        self.norm = nn.LayerNorm(hidden)
        self.dropout = nn.Dropout(0.5, rng=rng)
        self.output = nn.Linear(hidden, alphabet, rng=rng)

    def forward(self, numbers):
        """Return (batch, alphabet) for (batch, CONTEXT)."""
        x = self.embedding(numbers).reshape(len(numbers), -1)
        return self.output(self.dropout(nn.gelu(self.norm(self.hidden(x)))))


def write(model, start, length, alphabet, rng):
    """Return a text that begins with ``start``, each next character drawn from the model."""
    text = start
    for _ in range(length):
        numbers = np.searchsorted(alphabet, list(text[-CONTEXT:]))
        with ag.no_grad():
            p = ag.softmax(model(numbers[None]) / 0.7).numpy()[0]
        text += str(rng.choice(alphabet, p=p.astype(float) / p.sum(dtype=float)))
    return text


def main():
    """Train on all but the last sonnet, and write some lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)

    text = (Path(__file__).parent / "data" / "sonnets.txt").read_text(encoding="utf-8")
    alphabet, numbers = np.unique(list(text), return_inverse=True)
    windows = np.lib.stride_tricks.sliding_window_view(numbers, CONTEXT + 1)
    x, y = windows[:, :-1], windows[:, -1]
    last = len(text) - len(text.split("\n\n")[-1]) - CONTEXT

    model = CharacterModel(len(alphabet), rng)
    print(model)
    data = ag.data.Batches(x[:last], y[:last], batch_size=64, rng=rng)
    optimizer = ag.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.1)
    history = ag.fit(
        model,
        ag.cross_entropy,
        data,
        optimizer,
        epochs=options.epochs,
        validation=ag.data.Batches(x[last:], y[last:], batch_size=1000, shuffle=False),
        schedule=ag.optim.CosineAnnealingLR(optimizer, options.epochs),
        progress=False,
    )
    bits = history["val_loss"][-1] / np.log(2)
    print(f"bits per character: {bits:.2f}, of {np.log2(len(alphabet)):.2f} without a model\n")
    print(write(model.eval(), "Shall I compare", 300, alphabet, rng))


if __name__ == "__main__":
    main()
