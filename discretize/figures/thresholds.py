"""Stability thresholds against momentum, and Adam at its edge on real data."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import optax

from discretize.edge import edge_of
from discretize.edge_run import edge_along
from discretize.figures.registry import figure
from discretize.rows import ADAM
from flows.drawing import COLOURS, Numbers
from flows.problems import small_digits

UNIT, POSITIVE = (0, 1), (0, math.inf)

FORMS: dict[str, tuple[Callable[..., Any], str, str]] = {
    "adam": (
        lambda eta, b: optax.adam(eta, b1=b),
        r"Adam, EMA: $\frac{2(1+\beta)}{1-\beta}$",
        "vermilion",
    ),
    "nadam": (
        lambda eta, b: optax.nadam(eta, b1=b),
        r"NAdam: $\frac{2(1+\beta)}{(1-\beta)(1+2\beta)}$",
        "orange",
    ),
    "polyak": (
        lambda eta, b: optax.sgd(eta, momentum=b),
        r"Polyak: $2(1+\beta)$",
        "blue",
    ),
    "gd": (lambda eta, b: optax.sgd(eta), r"gradient descent, RMSProp: $2$", "black"),
    "nesterov": (
        lambda eta, b: optax.sgd(eta, momentum=b, nesterov=True),
        r"Nesterov: $\frac{2(1+\beta)}{1+2\beta}$",
        "green",
    ),
}
"""Optimisers of a learning rate and a momentum, with their labels and colours."""


@functools.cache
def _limit(name: str) -> Callable[[Any], np.ndarray]:
    """β -> η × the largest stable λ(P⁻¹H), from the proved expression."""
    import sympy as sp

    found = edge_of(FORMS[name][0], eta=POSITIVE, b=UNIT)
    symbols = {s.name: s for s in found.limit.free_symbols}
    beta = symbols.get("b", sp.Symbol("b"))
    function = sp.lambdify([beta], sp.simplify(found.limit * symbols["eta"]))
    return lambda b: np.broadcast_to(function(np.asarray(b)), np.shape(b))


@figure
def thresholds_by_momentum(*, marked: float = 0.9) -> tuple[Any, Numbers]:
    """The largest stable ηλ(P⁻¹H) of five optimisers against momentum.

    Args:
        marked: β in [0, 0.96] at which the values are written.
    """
    import matplotlib.pyplot as plt

    beta = np.linspace(0, 0.96, 193)
    fig, ax = plt.subplots(figsize=(7.2, 4.4), layout="constrained")
    curves, values = {}, {}
    for name, (_, label, colour) in FORMS.items():
        curves[name] = _limit(name)(beta)
        values[name] = float(_limit(name)(marked))
        ax.semilogy(beta, curves[name], color=COLOURS[colour], lw=2, label=label)
        ax.plot(marked, values[name], "o", ms=6, color=COLOURS[colour])
        ax.annotate(
            f"{values[name]:.3g}",
            (marked, values[name]),
            xytext=(-7, 5),
            textcoords="offset points",
            ha="right",
            color=COLOURS[colour],
        )
    ax.axvline(marked, color="0.8", lw=0.8, zorder=0)
    ticks = [1, 2, 5, 10, 20, 50, 100]
    ax.set_yticks(ticks, [str(t) for t in ticks])
    ax.minorticks_off()
    ax.set(
        xlabel=r"momentum $\beta$ (Adam's $\beta_1$)",
        ylabel=r"largest stable $\eta\,\lambda_{\max}(P^{-1}H)$",
        xlim=(0, 0.98),
    )
    ax.legend(frameon=False, loc="upper left")
    caption = (
        "Where optimisers turn unstable on a quadratic, with the preconditioner held "
        "(P = 1 without one). All start at gradient descent's 2 and leave the unit "
        "circle at -1. Polyak's momentum gains at most a factor 2, Nesterov's loses; a "
        f"mean of gradients, as in Adam, stands {values['adam']:.3g}/η sharp at "
        f"β = {marked:g}."
    )
    marks = {f"{name}_at_mark": value for name, value in values.items()}
    return fig, Numbers(caption, beta=beta, mark=marked, **curves, **marks)


RUNS = ((0.0, 5e-4, "black"), (0.5, 1e-3, "blue"), (0.9, 3e-3, "vermilion"))
"""β₁, η and colour of the runs of Adam."""


@figure
def adaptive_edge_of_stability(
    *, steps: int = 1200, every: int = 24, b2: float = 0.99
) -> tuple[Any, Numbers]:
    """Effective sharpness along three full-batch runs of Adam on digits.

    Args:
        steps: of each run.
        every: steps between two measurements; divides `steps`.
        b2: Adam's retention of squares.
    """
    import matplotlib.pyplot as plt

    objective, params = small_digits()
    fig, ax = plt.subplots(figsize=(7.2, 4.4), layout="constrained")
    times, curves, lines = np.zeros(0), {}, {}
    for b1, eta, colour in RUNS:
        row = ADAM(learning_rate=eta, b1=b1, b2=b2)
        run = edge_along(row, objective, params, steps=steps, every=every)
        times, measured, height = run.steps, eta * run.sharpness, eta * run.limit
        curves[f"b1_{b1:g}"], lines[f"edge_{b1:g}"] = measured, height
        label = rf"$\beta_1 = {b1:g}$, $\eta = {eta:g}$"
        ax.semilogy(times, measured, color=COLOURS[colour], lw=1.6, label=label)
        ax.axhline(height, color=COLOURS[colour], ls="--", lw=1)
        ax.annotate(
            f"{height:.0f}",
            (1.01, height),
            xycoords=("axes fraction", "data"),
            va="center",
            color=COLOURS[colour],
        )
    ax.set_yticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    ax.minorticks_off()
    ax.set(
        xlabel="step of Adam",
        ylabel=r"effective sharpness $\eta\,\lambda_{\max}(P^{-1}H)$",
        xlim=(0, steps),
    )
    ax.legend(frameon=False, loc="lower right")
    caption = (
        "Full-batch Adam on a small network for digits: as it trains, the curvature "
        "in the geometry of its own preconditioner rises until the step is as "
        "large as stability allows, and stays there: at 2(1+β₁)/(1-β₁) (dashed), "
        "which is 2 for RMSProp and 38 for the usual β₁ = 0.9."
    )
    return fig, Numbers(caption, steps=times, **curves, **lines)
