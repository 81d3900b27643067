"""Cycles of self-stabilisation, and the flow of weight decay on the sphere."""

from __future__ import annotations

from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from discretize.figures.registry import figure
from discretize.optimiser import OptaxStep, Training
from discretize.rows.derived_losses import WEIGHT_DECAY_SGD
from discretize.rows.gradient import SGD
from flows import (
    Chart,
    SelfStabilisation,
    SharpnessReductionFlow,
    WeightDecayOscillation,
    iterate,
    solve,
)
from flows.central import smoothed
from flows.drawing import COLOURS, Numbers
from flows.problems import spherical_valley


def _path(flow: Any, start: Any, times: np.ndarray) -> np.ndarray:
    """States of a flow at the times."""
    run = solve(
        flow,
        jnp.asarray(start),
        0.0,
        float(times[-1]),
        solver=diffrax.Tsit5(),
        stepsize_controller=diffrax.PIDController(rtol=1e-9, atol=1e-11),
        saveat=diffrax.SaveAt(ts=jnp.asarray(times)),
    )
    return np.asarray(run.states)


def _descent(row: Any, hyper: dict, objective: Any, start: Any, steps: int) -> Any:
    """Positions of a row's optimiser, shape [steps + 1, n]."""
    step = OptaxStep(row.optimizer, jax.tree.map(jnp.asarray, hyper))
    run = iterate(step, Training(objective), jnp.asarray(start), h=1.0, steps=steps)
    return np.asarray(run.positions)


@figure
def self_stabilisation_cycles(
    *, eta: float = 0.05, alpha: float = 0.2, beta: float = 1.0, cycles: float = 6.0
) -> tuple[Any, Numbers]:
    """Level sets of the cubic model's energy, and gradient descent spiralling out.

    Args:
        eta: step of gradient descent (time).
        alpha: α, the rate at which the sharpness rises (sharpness per time).
        beta: β, how strongly an oscillation lowers it.
        cycles: of the orbit, whose period is the flow's.
    """
    import matplotlib.pyplot as plt

    model = SelfStabilisation(alpha, beta)
    units = np.array([float(model.rest[0]), np.sqrt(alpha)])  # δ of X, √α of Y
    start = jnp.array([0.5 * units[0], 0.0])
    energy = float(model.energy(start))
    period = model.period(energy)
    orbit = _path(model, start, np.linspace(0.0, period, 400))
    steps = round(cycles * period / eta)
    first = np.asarray(model.start(start))
    w = _descent(SGD, {"learning_rate": eta}, model.loss(eta), first, steps)
    descent = np.stack([np.abs(w[:, 0]), np.sqrt(beta) * w[:, 1]], axis=1)
    square = (descent[:, 0] / units[0]) ** 2
    running = np.cumsum(square) / np.arange(1, steps + 2)
    cycle = eta * np.arange(steps + 1) / period

    fig, (left, right) = plt.subplots(
        1, 2, figsize=(9.0, 4.2), layout="constrained", width_ratios=(1, 1.15)
    )
    _draw_levels(left, model, units)
    red, blue = COLOURS["vermilion"], COLOURS["blue"]
    name = rf"gradient descent, $\eta = {eta:g}$"
    left.plot(*(descent / units).T, ".", ms=2.5, color=red, label=name)
    left.plot(*(orbit / units).T, lw=2.2, color=blue, label="cubic flow")
    left.legend(loc="upper right", framealpha=0.9, edgecolor="none")
    right.plot(cycle, square, lw=0.9, color=red, label=r"$x_k^2/\delta^2$")
    right.plot(cycle, running, lw=2.4, color="k", label="its mean so far")
    name = r"$\delta^2$: central flow"
    right.axhline(1.0, ls="--", lw=1.4, color=blue, label=name)
    right.set(xlabel="time in cycles of the flow", ylabel=r"$x^2/\delta^2$")
    right.legend(frameon=False, loc="upper left")
    caption = (
        "Left: the cubic model runs round level sets of its energy (grey); gradient "
        "descent, its Euler method, spirals outwards. Right: the bursts of x² grow, "
        "yet their mean goes to δ² = 2α/β, the variance that the central flow predicts."
    )
    return fig, Numbers(
        caption,
        orbit=orbit,
        descent=descent,
        running_mean=running,
        cycle=cycle,
        period=period,
        energy=energy,
    )


def _draw_levels(ax: Any, model: SelfStabilisation, units: np.ndarray) -> None:
    """Level sets of the energy in units of δ and √α, and the centre."""
    x, y = np.linspace(0.02, 3.2, 200), np.linspace(-2.4, 2.4, 200)
    grid = np.stack(np.meshgrid(x, y), axis=-1) * units
    energies = jax.vmap(jax.vmap(model.energy))(jnp.asarray(grid))
    above = float(model.alpha) * np.array([0.05, 0.2, 0.5, 1.0, 1.7, 2.6])
    levels = float(model.energy(model.rest)) + above
    ax.contour(x, y, np.asarray(energies), levels, colors="0.8", linewidths=0.9)
    ax.plot(1, 0, "k+", ms=9)
    ax.set(
        xlabel=r"oscillation $|x|/\delta$",
        ylabel=r"sharpness over the edge, $(S - 2/\eta)/\sqrt{\alpha}$",
        xlim=(0, 3.2),
        ylim=(-2.4, 2.4),
    )


def equator(p: Any) -> Any:
    """The minimisers (cos φ, sin φ, 0) on the sphere."""
    return jnp.stack([jnp.cos(p[0]), jnp.sin(p[0]), jnp.zeros_like(p[0])])


@figure
def weight_decay_on_the_sphere(
    *, decay: float = 2e-3, rate: float = 0.5, tau: float = 6.0
) -> tuple[Any, Numbers]:
    """The angle, oscillation and effective sharpness of weight decay, with its flow.

    Args:
        decay: hl, learning rate times weight decay: τ of one step.
        rate: h, the learning rate.
        tau: end, τ = hl k.
    """
    import matplotlib.pyplot as plt

    flow = SharpnessReductionFlow(
        spherical_valley(), WeightDecayOscillation(), Chart(equator)
    )
    first, steps = 0.5, round(tau / decay)
    times = decay * np.arange(steps + 1)
    angle = _path(flow, [first], times)[:, 0]
    spread = np.sqrt(decay * 2 / (4 + np.sin(angle) ** 2))
    height = 0.8 * spread[0]  # somewhat off balance, to see its cycles
    norm = np.sqrt(rate * np.exp(np.cos(first)) / (2 * (1 - decay)))
    flat = np.sqrt(1 - height**2)
    start = norm * np.array([flat * np.cos(first), flat * np.sin(first), height])
    hyper = {"learning_rate": rate, "weight_decay": decay / rate}
    w = _descent(WEIGHT_DECAY_SGD, hyper, spherical_valley(), start, steps)
    square = np.sum(w**2, axis=1)
    found = np.arctan2(w[:, 1], w[:, 0])
    edge = rate / ((1 - decay) * square) * np.exp(np.cos(found))
    across = w[:, 2] / np.sqrt(square)
    smooth = np.sqrt(smoothed(across**2, 0.15 / decay))

    lines = {"descent": found, "flow": angle, "across": across, "spread": spread}
    lines |= {"smooth": smooth, "edge": edge}
    fig, panels = plt.subplots(
        3, 1, figsize=(6.6, 6.2), layout="constrained", sharex=True
    )
    _draw_sphere(panels, times, lines)
    caption = (
        "A scale-invariant loss under gradient descent with weight decay. It stays at "
        "the edge (bottom), oscillates across the minimisers with the flow's variance "
        "(middle), in cycles that grow, and moves along the minimisers to the flattest "
        "one, as its flow says (top)."
    )
    return fig, Numbers(caption, times=times, **lines)


def _draw_sphere(panels: Any, times: np.ndarray, lines: dict) -> None:
    """Sharpness, oscillation and effective sharpness over τ."""
    red, blue = COLOURS["vermilion"], COLOURS["blue"]
    top, middle, bottom = panels
    for name, style, label in (
        ("descent", {"lw": 3.5, "color": red, "alpha": 0.6}, "descent, weight decay"),
        ("flow", {"ls": "--", "lw": 1.6, "color": blue}, "its flow"),
    ):
        top.plot(times, np.exp(np.cos(lines[name])), label=label, **style)
    top.set(ylabel=r"sharpness $\lambda(\theta)$", ylim=(0, None))
    top.legend(frameon=False)
    middle.plot(times, lines["across"], ".", ms=1.5, color=red)
    for name, style, label in (
        ("smooth", {"lw": 2.4, "color": "k"}, "root mean square"),
        ("spread", {"ls": "--", "lw": 1.6, "color": blue}, r"$\pm\sigma$ of the flow"),
    ):
        middle.plot(times, lines[name], label=label, **style)
        middle.plot(times, -lines[name], **style)
    middle.set(ylabel=r"across: $\theta_3$")
    middle.legend(frameon=False, loc="upper left", ncols=2)
    bottom.plot(times, lines["edge"], lw=0.8, color=red)
    bottom.axhline(2.0, ls="--", lw=1.6, color=blue)
    bottom.set(ylabel=r"$\tilde\eta\,\lambda$ (edge: 2)", xlabel=r"time $\tau = h l k$")
