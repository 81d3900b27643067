"""Stability thresholds against momentum, and Adam at its edge on real data."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import optax

from discretize.edge import edge_of
from discretize.figures.registry import figure
from flows.drawing import COLOURS, Numbers

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
