"""TheoPouLa's boosting: faster on a plateau, chattering at a minimum."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from discretize.figures.registry import figure
from discretize.optimiser import OptaxStep, Training
from discretize.optimizers import theopoula
from flows import Objective, from_sympy, iterate
from flows.drawing import COLOURS, Numbers
from flows.problems import quadratic

START, BASIN = 4.5, 0.5
"""Where the plateau is entered, and |x| at which it is left."""


def cold_theopoula(hyper: Any) -> Any:
    """TheoPouLa without noise and regulariser, of a learning rate and ε."""
    return theopoula(hyper["rate"], hyper["eps"], np.inf)


def cold_step(rate: float, eps: float) -> OptaxStep:
    """Its step as a scheme."""
    return OptaxStep(
        cold_theopoula, {"rate": jnp.asarray(rate), "eps": jnp.asarray(eps)}
    )


def plateau() -> Objective:
    """-exp(-x²/2), whose gradient x exp(-x²/2) is 1.8·10⁻⁴ at x = 4.5."""
    import sympy

    x = sympy.Symbol("x", real=True)
    return from_sympy(-sympy.exp(-(x**2) / 2), [x])


def plateau_steps(rate: float, eps: float, most: int = 14_000) -> int:
    """Steps from x = 4.5 until |x| <= 0.5; -1 where `most` steps do not do."""
    run = iterate(
        cold_step(rate, eps),
        Training(plateau()),
        jnp.array([START]),
        h=rate,
        steps=most,
    )
    inside = np.abs(np.asarray(run.positions)[:, 0]) <= BASIN
    return int(np.argmax(inside)) if inside.any() else -1


def critical_eps(rate: Any, curvature: Any) -> Any:
    """λ^{3/2} a/(2 - λa): for ε below it a minimum of curvature a is unstable."""
    return rate * rate**0.5 * curvature / (2 - rate * curvature)


def cycle_amplitude(rate: float, curvature: float, eps: Any) -> Any:
    """|x| of the 2-cycle on a x²/2, c/a; 0 where there is none (ε >= ε_c).

    c > 0 solves 2s c² + (2 + 2sε - λa) c + 2ε - λa(ε + s) = 0, s = √λ.
    """
    s, la = rate**0.5, rate * curvature
    half = (2 + 2 * s * eps - la) / (4 * s)
    constant = (2 * eps - la * (eps + s)) / (2 * s)
    root = np.sqrt(np.maximum(half**2 - constant, 0.0))
    # -half + root without cancellation
    return np.maximum(-constant / (half + root), 0.0) / curvature


def measured_amplitude(rate: float, eps: float, steps: int, start: float = 0.01):
    """|x| after so many steps on x²/2."""
    problem = Training(quadratic([1.0]))
    kept = {"h": rate, "steps": steps, "save": "last"}
    run = iterate(cold_step(rate, eps), problem, jnp.array([start]), **kept)
    return abs(float(run.positions[-1, 0]))


@figure
def boosting_trade_off(*, rate: float = 0.1) -> tuple[Any, Numbers]:
    """Steps across a plateau, and the amplitude of the 2-cycle, against ε.

    Args:
        rate: the learning rate λ.
    """
    import matplotlib.pyplot as plt

    shown = 10.0 ** np.arange(-8, 1.01, 0.5)
    steps = np.array([plateau_steps(rate, eps) for eps in shown])
    plain = plateau_steps(rate, 1e12)
    edge = critical_eps(rate, 1.0)
    fine = np.unique(np.append(np.geomspace(1e-8, 10, 400), edge * (1 - 1e-6)))
    line = cycle_amplitude(rate, 1.0, fine)
    below = shown[shown < edge]
    dots = np.array([measured_amplitude(rate, eps, 4000) for eps in below])

    fig, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.8), layout="constrained")
    left.loglog(shown, steps, "o-", color=COLOURS["blue"], lw=1.6, ms=5)
    left.axhline(plain, color="0.4", ls="--", lw=1)
    left.annotate("without boosting", (1e-8, plain), xytext=(0, -13), color="0.3",
                  textcoords="offset points")  # fmt: skip
    left.set(
        ylabel="steps to cross the plateau", title="small ε: fast where it is flat"
    )
    keep = line > 0
    right.loglog(fine[keep], line[keep], color=COLOURS["black"], lw=1.6,
                 label="root of the quadratic")  # fmt: skip
    right.plot(below, dots, "o", color=COLOURS["vermilion"], ms=6, label="iterates")
    right.axvline(edge, color="0.4", ls="--", lw=1)
    right.annotate(rf"$\epsilon_c$ = {edge:.3g}", (edge, 2e-4), xytext=(6, 0),
                   textcoords="offset points", color="0.3")  # fmt: skip
    right.annotate("at rest", (edge, 5e-3), xytext=(6, 0), color="0.3",
                   textcoords="offset points")  # fmt: skip
    right.set(
        ylabel=r"amplitude $|x|$ of the 2-cycle",
        title="small ε: chatters at the minimum",
        xlim=left.get_xlim(),
        ylim=(1e-4, 0.05),
    )
    right.legend(frameon=False, loc="lower left")
    for ax in (left, right):
        ax.set_xlabel(r"$\epsilon$ (gradient units)")
    caption = (
        f"TheoPouLa's ε at λ = {rate:g}, without noise. Left: steps on the plateau "
        f"x exp(-x²/2) from 4.5 to 0.5: {steps[0]} for ε = 10⁻⁸, {plain} without "
        "boosting. Right: on x²/2 the minimum is unstable for ε below "
        f"ε_c = λ^(3/2)/(2 - λ) = {edge:.4g}; the iterates then end in a 2-cycle, of "
        f"amplitude {dots[0]:.4g} for small ε (about λ^(3/2)/2). No ε has both."
    )
    numbers = {"eps": shown, "steps": steps, "without": plain, "critical": edge}
    numbers |= {"cycle_eps": below, "amplitude": dots}
    predicted = cycle_amplitude(rate, 1.0, below)
    return fig, Numbers(caption, predicted=predicted, **numbers)
