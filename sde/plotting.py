"""How an ensemble is drawn: paths, mean and spread, histogram."""

from __future__ import annotations

from typing import Any

import numpy as np

from flows.door import require_whole
from flows.drawing import COLOURS, axes
from flows.errors import BadInput

_KINDS = ("paths", "mean", "histogram")


def plot(
    run: Any, ax: Any, *, fn: Any, kind: str | None, most: int, style: dict[str, Any]
) -> Any:
    """Draw an ensemble (see `Ensemble.plot`)."""
    single = len(run.times) == 1
    kind = kind if kind is not None else "histogram" if single else "mean"
    if kind not in _KINDS:
        raise BadInput(f"kind is one of {', '.join(_KINDS)}; got {kind!r}.")
    if single and kind != "histogram":
        raise BadInput(
            f'kind="{kind}" draws against time, and one time is saved: simulate with '
            'save="all", or with the times to draw.'
        )
    require_whole("most", most)
    values, alive = _drawn(run, fn)
    ax = axes(ax)
    draw = {"paths": _paths, "mean": _mean, "histogram": _histogram}[kind]
    draw(run, ax, values, alive, most, style)
    if failed := len(run.failures.indices):
        kept = "drawn while finite" if kind == "paths" else "left out"
        ax.set_title(f"{failed} of {run.paths} paths not finite, {kept}")
    return ax


def _drawn(run, fn):
    first = fn or (lambda y: run.process.position(y)[0])
    values, alive = np.asarray(run.values(first)), run.alive()
    if values.ndim != 2:
        raise BadInput("plot draws a scalar function of one state.")
    return values, alive


def _paths(run, ax, values, alive, most, style):
    shown = np.where(alive, values, np.nan)[:, :most]
    style = {"linewidth": 0.8, "alpha": 0.8} | style
    colours = [c for name, c in COLOURS.items() if name != "black"]
    for k, line in enumerate(ax.plot(run.times, shown, **style)):
        if "color" not in style and "c" not in style:
            line.set_color(colours[k % len(colours)])
    ax.set(xlabel="time $t$", ylabel="value")


def _mean(run, ax, values, alive, most, style):
    shown = np.where(alive, values, np.nan)
    mean, spread = np.nanmean(shown, axis=1), np.nanstd(shown, axis=1)
    style = {"label": type(run.process).__name__} | style
    (line,) = ax.plot(run.times, mean, **style)
    band = {"color": line.get_color(), "alpha": 0.2, "linewidth": 0}
    ax.fill_between(run.times, mean - spread, mean + spread, **band)
    ax.set(xlabel="time $t$", ylabel="mean ± standard deviation")


def _histogram(run, ax, values, alive, most, style):
    name = type(run.process).__name__
    style = {"bins": 60, "density": True, "label": name} | style
    ax.hist(values[-1][alive[-1]], **style)
    ax.set(xlabel=f"value at $t$ = {run.times[-1]:.4g}", ylabel="density")
