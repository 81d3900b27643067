"""Figures: functions that return the figure and the numbers plotted.

`figures.principal_flow()` draws one, `dir(figures)` names them, `FIGURES` holds them
once `discover` has imported every module below this package.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from discretize.figures.registry import FIGURES as FIGURES
from discretize.figures.registry import figure as figure
from discretize.figures.registry import render as render


def discover() -> tuple[str, ...]:
    """Import every module of figures; the names of the figures, sorted."""
    for module in pkgutil.iter_modules(__path__, prefix=f"{__name__}."):
        importlib.import_module(module.name)
    return tuple(sorted(FIGURES))


def __getattr__(name: str) -> Any:
    if not name.startswith("_"):
        discover()
        if name in FIGURES:
            return FIGURES[name]
    raise AttributeError(
        f"no figure {name!r}; there are: {', '.join(sorted(FIGURES)) or 'none'}."
    )


def __dir__() -> list[str]:
    return sorted({*globals(), *discover()})
