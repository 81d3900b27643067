"""Heavy ball in its two scalings: errors against the flows that claim it."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from discretize.convergence import convergence
from discretize.figures.registry import figure
from discretize.rows.damped import DAMPED_HEAVY_BALL
from discretize.rows.inertial import (
    HEAVY_BALL_AS_DESCENT,
    INERTIAL_HEAVY_BALL,
    MODIFIED_HEAVY_BALL,
)
from flows.drawing import COLOURS, Numbers
from flows.problems import ridged_logistic

START = (2.0, -1.5, 1.0)
WHERE = r"learning rate $\eta$ (1/curvature)"


@figure
def momentum_orders(
    *, friction: float = 0.7, momentum: float = 0.9, levels: int = 6
) -> tuple[Any, Numbers]:
    """Errors of heavy ball against four flows, as its learning rate shrinks.

    Args:
        friction: α of the left panel, where m = 1 - α√η.
        momentum: m of the right panel, where it stays.
        levels: number of learning rates, each a quarter (left) or half of the last.
    """
    import matplotlib.pyplot as plt

    fig, (left, right) = plt.subplots(
        1, 2, figsize=(9.6, 4.2), layout="constrained", sharey=True
    )
    steps = 0.2 * 0.5 ** np.arange(levels)
    eta = steps**2
    inertial = _errors(INERTIAL_HEAVY_BALL, steps, 8.0, friction=friction)
    modified = _errors(MODIFIED_HEAVY_BALL, steps, 8.0, friction=friction)
    _curve(
        left, eta, inertial, 0.5, "vermilion", r"$\ddot x + \alpha\dot x = -\nabla f$"
    )
    text = r"mass $1 - \alpha\sqrt{\eta}/2$"
    _curve(left, eta, modified, 1.0, "blue", f"the same with {text}")
    left.set(
        title=r"$m = 1 - \alpha\sqrt{\eta}$: the mass decides the order",
        xlabel=WHERE,
        ylabel=r"error $|x_k - x(t_k)|$ at a fixed time",
    )
    rates = 0.032 * 0.5 ** np.arange(levels)
    descent = _errors(HEAVY_BALL_AS_DESCENT, rates, 3.2, momentum=momentum)
    massive = _errors(DAMPED_HEAVY_BALL, rates, 3.2, momentum=momentum)
    _curve(
        right, rates, descent, 1.0, "vermilion", r"gradient flow, $\dot x = -\nabla f$"
    )
    mass = r"$\epsilon\ddot x + \dot x = -\nabla f$, $\epsilon = \eta m/(1-m)^2$"
    _curve(right, rates, massive, 1.0, "blue", mass)
    right.set(
        title=f"$m = {momentum:g}$ fixed: without its mass, far off",
        xlabel=WHERE,
    )
    for ax in (left, right):
        ax.legend(loc="lower right", frameon=False)
        ax.grid(color="0.92", lw=0.6)
    caption = (
        "Heavy ball on a ridged logistic loss, at a fixed time of four flows. Left: "
        "with m = 1 - α√η a step takes √η and the limit has inertia; the mass "
        "1 - α√η/2 in place of 1 (and a matched initial velocity) takes the error from "
        "order √η to η. Right: with m fixed a step takes η/(1-m) and the limit is "
        "gradient flow, but at learning rates in use the flow with the mass ηm/(1-m)² "
        "is far nearer."
    )
    shown = {"steps": steps, "inertial": inertial, "modified": modified}
    shown |= {"rates": rates, "descent": descent, "massive": massive}
    return fig, Numbers(caption, **shown)


def _errors(row: Any, rates: np.ndarray, t1: float, **hyper: Any) -> np.ndarray:
    """At the end time, on the ridged logistic loss."""
    found = convergence(
        row,
        ridged_logistic(),
        jnp.array(START),
        learning_rates=rates,
        t1=t1,
        norm="end",
        tolerance=1e-10,
        **hyper,
    )
    return found.errors


def _curve(ax, eta, errors, order, colour, label) -> None:
    """Errors, and the claimed order through the last of them."""
    ax.loglog(eta, errors, "o", ms=5, color=COLOURS[colour], label=label)
    guide = errors[-1] * (eta / eta[-1]) ** order
    ax.loglog(eta, guide, color=COLOURS[colour], lw=1.2, alpha=0.6)
    name = r"$\sqrt{\eta}$" if order == 0.5 else r"$\eta$"
    ax.annotate(
        f"order {name}",
        (eta[1], guide[1]),
        xytext=(-62, 2),
        textcoords="offset points",
        color=COLOURS[colour],
    )
