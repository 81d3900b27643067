"""Small things that every figure shares; matplotlib is imported on first use."""

from __future__ import annotations

from typing import Any

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
