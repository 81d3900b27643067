"""Figures: functions that return the figure and the numbers plotted.

`discover()` imports every module below this package; `FIGURES` then names them all.
"""

from __future__ import annotations

import importlib
import pkgutil

from discretize.figures.registry import FIGURES as FIGURES
from discretize.figures.registry import figure as figure
from discretize.figures.registry import render as render


def discover() -> tuple[str, ...]:
    """Import every module of figures; the names of the figures, sorted."""
    for module in pkgutil.iter_modules(__path__, prefix=f"{__name__}."):
        importlib.import_module(module.name)
    return tuple(sorted(FIGURES))
