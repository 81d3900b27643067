"""Small things that every figure shares; matplotlib is imported on first use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from flows.errors import BadInput

COLOURS = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "vermilion": "#D55E00",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "black": "#000000",
}
"""Okabe and Ito's palette, distinguishable with every common colour blindness."""


def axes(ax: Any = None) -> Any:
    """The given axes, or those of a new figure; rcParams stay untouched.

    Raises:
        BadInput: something that is no axes (a figure, an array of axes).
    """
    if ax is not None:
        if not hasattr(ax, "plot"):
            raise BadInput(
                f"ax is one matplotlib axes, as plt.subplots()[1]; got {ax!r:.60}."
            )
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(5.2, 3.4), layout="constrained")[1]


class Numbers(Mapping[str, Any]):
    """The numbers that a figure shows, by name, and the caption that says what to see.

    A figure function returns `(fig, numbers)`, so that a test can hold the numbers and
    a lecturer can draw them anew.

    Attributes:
        caption: one or two sentences: what is drawn and what to see in it.
    """

    def __init__(self, caption: str, /, **arrays: Any) -> None:
        self.caption = caption
        self._arrays = {name: np.asarray(value) for name, value in arrays.items()}

    def __getitem__(self, name: str) -> np.ndarray:
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{k}{list(v.shape)}" for k, v in self._arrays.items())
        return f"<numbers: {shapes}>\n{self.caption}"

    def to_dataframe(self) -> Any:
        """The one-dimensional arrays as columns (shorter ones end in NaN).

        Raises:
            BadInput: pandas is missing.
        """
        try:
            import pandas
        except ImportError:
            raise BadInput(
                "to_dataframe needs pandas: pip install 'flowtheory[xarray]'."
            ) from None
        flat = {k: pandas.Series(v) for k, v in self._arrays.items() if v.ndim == 1}
        return pandas.DataFrame(flat)
