"""The register of figures, and rendering them to files."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

from flows import BadInput
from flows.drawing import Numbers

Drawing = Callable[..., tuple[Any, Numbers]]
FIGURES: dict[str, Drawing] = {}
"""Name of the function -> the function; filled by the decorator `figure`."""


def figure(function: Drawing) -> Drawing:
    """Enter a figure function in `FIGURES`.

    The function takes keyword arguments with defaults, draws with matplotlib without
    touching its global style, and returns the figure and its `Numbers`.

    Raises:
        BadInput: a second figure of the same name.
    """
    name = function.__name__
    known = FIGURES.get(name)
    if known is not None and known.__module__ != function.__module__:
        raise BadInput(f"two figures named {name}: {known.__module__} has one.")
    FIGURES[name] = function
    return function


def render(
    name: str, folder: str | pathlib.Path, *, suffix: str = "png", dpi: int = 150
) -> pathlib.Path:
    """Draw one figure with its defaults into a file, its caption beside it (.txt).

    Args:
        name: of the figure, a key of `FIGURES`.
        folder: where to write; made where missing.
        suffix: format that matplotlib knows: "png", "pdf", "svg".
        dpi: resolution of "png".

    Returns:
        The path of the picture.

    Raises:
        BadInput: no such figure.
    """
    if name not in FIGURES:
        raise BadInput(f"no figure {name!r}; there are: {', '.join(sorted(FIGURES))}.")
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    fig, numbers = FIGURES[name]()
    path = folder / f"{name}.{suffix}"
    fig.savefig(path, dpi=dpi)
    path.with_suffix(".txt").write_text(numbers.caption + "\n")
    import matplotlib.pyplot as plt

    plt.close(fig)
    return path
