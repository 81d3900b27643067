"""SDE models of stochastic optimisers in pictures: weak errors and scaling rules."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from discretize.circle import weak_errors
from discretize.figures.registry import figure
from discretize.schemes import StochasticGradient, StochasticRMSProp
from discretize.weak_operator import (
    FOUR_VALUES,
    SIGNS,
    PolynomialGrid,
    chain_expectation,
)
from flows import GradientFlow, from_sympy
from flows.adaptive import RMSPropState
from flows.drawing import COLOURS, Numbers
from flows.problems import quadratic
from sde import (
    AdaptiveScales,
    FactorNoise,
    RMSPropSDE,
    StochasticModifiedEquation,
    adaptive_scales,
    gaussian_moments,
    square_root_scaling,
)


def _spread(x: Any) -> Any:
    return 0.8 + 0.3 * jnp.cos(x)


def _one(x: Any) -> Any:
    return jnp.ones_like(x)


def _models() -> dict[str, tuple[str, str, Any]]:
    """Name -> label, colour, h -> process, for the loss on the circle."""
    import sympy

    x = sympy.Symbol("x", real=True)
    f = from_sympy(-sympy.cos(x) - sympy.Rational(3, 20) * sympy.cos(2 * x), [x])
    noise = FactorNoise(_spread)
    return {
        "flow": ("gradient flow", "sky", lambda h: GradientFlow(f)),
        "first": (
            "modified equation, order 1",
            "orange",
            lambda h: StochasticModifiedEquation(f, noise, h, 1),
        ),
        "second": (
            "modified equation, order 2",
            "vermilion",
            lambda h: StochasticModifiedEquation(f, noise, h, 2),
        ),
    }


@figure
def weak_order(*, levels: int = 6, start: float = 0.7) -> tuple[Any, Numbers]:
    """Weak errors of SGD against three continuous models, without sampling.

    Args:
        levels: step sizes 0.2, 0.1, ... (time unit: 1/curvature).
        start: angle at which SGD starts.
    """
    import matplotlib.pyplot as plt

    hs = 0.2 * 0.5 ** np.arange(levels)
    models = _models()
    flow = models["flow"][2](0.0)
    fig, ax = plt.subplots(figsize=(6.2, 4.4), layout="constrained")
    arrays = {"h": hs}
    for name, (label, colour, process) in models.items():
        errors = np.abs(
            weak_errors(
                StochasticGradient(FactorNoise(_spread)),
                flow,
                process,
                np.sin,
                start,
                t1=1.0,
                hs=hs,
                law=SIGNS,
            )
        )
        ax.loglog(hs, errors, "o-", color=COLOURS[colour], label=label)
        arrays[name] = errors
    for power, name in ((1, "flow"), (2, "second")):
        guide = 0.45 * arrays[name][-1] * (hs / hs[-1]) ** power
        ax.loglog(hs, guide, "--", color="0.6", lw=1)
        ax.annotate(f"slope {power}", (hs[-2], 0.5 * guide[-2]), color="0.4", va="top")
    ax.set(
        xlabel="learning rate $h$ (time of a step)",
        ylabel=r"$|E\,\sin x_{1/h} - E\,\sin X(1)|$",
        title="How closely a continuous model follows SGD in law",
    )
    ax.legend(frameon=False, loc="lower right")
    caption = (
        "Mean of sin x after time 1, SGD against continuous models. Gradient flow and "
        "the first stochastic modified equation are both of order 1, for noise of size "
        "√h moves means by O(h): it changes the constant, for this mean to the worse. "
        "Only the second one, with the drift -∇(f + (h/4)|∇f|²), has order 2. No "
        "sampling: powers of SGD's expectation operator against the exponential of "
        "the generator."
    )
    return fig, Numbers(caption, **arrays)


KAPPA = 4


def _runs(eta: float) -> dict[str, tuple[str, str, Any, int]]:
    """Name -> label, colour, hyperparameters, steps for each step of the base run."""
    base = AdaptiveScales(0.5, 0.8, 0.1, 0.0).hyperparameters(eta)
    larger = base._replace(noise_scale=base.noise_scale / KAPPA**0.5)
    linear = larger._replace(learning_rate=KAPPA * eta)
    rule = square_root_scaling(base, KAPPA)
    return {
        "base": ("batch $B$, rate η", "black", base, 1),
        "rule": ("batch $4B$, square-root rule: 2η, …", "blue", rule, KAPPA),
        "linear": ("batch $4B$, linear rule: 4η", "vermilion", linear, KAPPA),
        "unchanged": ("batch $4B$, rate unchanged: η", "green", larger, KAPPA),
    }


def _squares(hyper: Any, count: int, steps: int, saves: int) -> tuple[Any, Any, Any]:
    """The diffusion, the start, and E x² of RMSProp at each of the points shown."""
    scales = adaptive_scales(hyper)
    model = RMSPropSDE(
        quadratic([1.0]), FactorNoise(_one), scales.sigma0, scales.c2, scales.eps0
    )
    y = RMSPropState(jnp.array([1.0]), jnp.array([0.8]))
    grid = PolynomialGrid(((-2.0, 2.0), (0.6, 1.3)), (6, 9))
    found = [1.0]
    for k in range(1, saves + 1):
        found.append(
            float(
                chain_expectation(
                    grid,
                    StochasticRMSProp(),
                    model,
                    y,
                    lambda p: p[:, 0] ** 2,
                    h=hyper.learning_rate**2,
                    steps=k * steps // (count * saves),
                    law=FOUR_VALUES,
                )
            )
        )
    return model, y, np.array(found)


@figure
def square_root_rule(*, eta: float = 0.1, saves: int = 10) -> tuple[Any, Numbers]:
    """RMSProp's E x² over the data seen, under rules for a batch four times as large.

    Args:
        eta: learning rate of the small batch, with 2/η² a multiple of 4 `saves`.
        saves: points shown of each run.
    """
    import matplotlib.pyplot as plt

    steps = round(2 / eta**2)
    seen = np.linspace(0, steps, saves + 1)
    fig, ax = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
    arrays = {"seen": seen}
    markers = {"base": "s", "rule": "o", "linear": "^", "unchanged": "v"}
    for name, (label, colour, hyper, count) in _runs(eta).items():
        model, y, squares = _squares(hyper, count, steps, saves)
        shade = COLOURS.get(colour, colour)
        style: dict[str, Any] = (
            {"ms": 8, "mfc": "none"} if name == "base" else {"ms": 4.5}
        )
        ax.plot(seen, squares, markers[name], color=shade, label=label, **style)
        fine = np.linspace(0, steps, 101)
        mean, covariance = gaussian_moments(
            model, y, fine / count * hyper.learning_rate**2, tolerance=1e-9
        )
        curve = mean[:, 0] ** 2 + covariance[:, 0, 0]
        ax.plot(fine, curve, color=shade, lw=1)
        arrays |= {name: squares, f"{name}_diffusion": curve[:: 100 // saves]}
    ax.set(
        xlabel="batches of size $B$ seen",
        ylabel=r"$E\,x^2$  (loss $x^2/2$)",
        title=f"RMSProp with a batch four times as large (η = {eta:g})",
        ylim=(0, 1.05),
    )
    ax.legend(frameon=False, title="markers: RMSProp; lines: its diffusion")
    caption = (
        "The square-root rule (blue: 2η, 4(1 - β), ε/2, a quarter of the steps) lies "
        "on the small batch's curve (black), for both have the same diffusion. SGD's "
        "linear rule (vermilion) ends with twice the noise; the old rate (green) with "
        "less noise, too late. Markers: RMSProp itself, without sampling; lines: "
        "E x² of the diffusions."
    )
    return fig, Numbers(caption, **arrays)
