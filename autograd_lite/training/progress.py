"""Progress on the screen."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from typing import Any


class Display:
    """Progress on the screen: a bar for each epoch with tqdm, else a line."""

    def __init__(self, epochs: int, data: Any) -> None:
        self.epochs = epochs
        self.size = len(data) if isinstance(data, Sized) else None
        self.bar: Any = None
        try:
            from tqdm.auto import tqdm
        except ImportError:
            tqdm = None
        self.tqdm = tqdm

    def advance(self) -> None:
        """Show that one more batch is done."""
        if self.tqdm is not None:
            if self.bar is None:
                self.bar = self.tqdm(total=self.size, unit="batch")
            self.bar.update()

    def end(self, row: Mapping[str, float]) -> None:
        """Show what the epoch gave."""
        text = ", ".join(f"{name} {value:.4g}" for name, value in row.items() if name != "epoch")
        title = f"epoch {int(row['epoch'])}/{self.epochs}"
        if self.bar is None:
            print(f"{title}: {text}")
            return
        self.bar.set_description(title)
        self.bar.set_postfix_str(text)
        self.bar.close()
        self.bar = None
