"""Limits of switching flows: fast switching, and mass going to 0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from discretize.figures.registry import figure
from discretize.figures.switching_laws import draw_by_label
from flows import quadratic_sum
from flows.drawing import COLOURS, Numbers
from sde import (
    LinearFields,
    StochasticGradientMomentumProcess,
    StochasticGradientProcess,
    SwitchingMomentumState,
    SwitchingState,
    UniformIndex,
    largest_gap,
    simulate_skeletons,
    stationary_switched_moments,
    zero_mass,
)

PAIR = np.array([[1.0], [-1.0]])


def _momentum(mass: float, rate: float) -> StochasticGradientMomentumProcess:
    """Centres ±1, κ = α = 1; the label flips at a rate, r is twice that."""
    return StochasticGradientMomentumProcess(
        quadratic_sum(PAIR), UniformIndex(2, rate), mass
    )


@figure
def switching_paths(
    *, rates: Sequence[float] = (0.5, 5.0, 50.0), start: float = 2.5, time: float = 6.0
) -> tuple[Any, Numbers]:
    """Paths of the stochastic gradient process at three rates, and the mean's flow.

    Args:
        rates: of the clock, in units of 1/time.
        start: position at time 0.
        time: end.
    """
    import matplotlib.pyplot as plt

    times = np.linspace(0, time, 3000)
    flow = start * np.exp(-times)
    fig, axes = plt.subplots(
        1, len(rates), figsize=(10.5, 3.6), sharey=True, layout="constrained"
    )
    arrays: dict[str, Any] = {"times": times, "flow": flow}
    for ax, rate in zip(np.atleast_1d(axes), rates, strict=True):
        process = StochasticGradientProcess(quadratic_sum(PAIR), UniformIndex(2, rate))
        y0 = SwitchingState(jnp.full(1, start), None)
        run = simulate_skeletons(process, y0, t1=time, key=5, paths=1, events=512)
        states = run.at(times)
        x = np.asarray(states.position)[:, 0, 0]
        draw_by_label(ax, times, x, states.label[:, 0], lw=1.8)
        ax.plot(times, flow, color=COLOURS["black"], lw=1.4)
        for centre, colour in ((1.0, "blue"), (-1.0, "vermilion")):
            ax.axhline(centre, color=COLOURS[colour], lw=1.2, ls=":")
        ax.set(xlim=(0, time), ylim=(-1.2, start + 0.1), xlabel=r"time $\kappa t$")
        ax.set_title(rf"learning rate $1/\gamma = {1 / rate:g}$")
        ax.spines[["top", "right"]].set_visible(False)
        arrays[f"path_{rate:g}"] = x
    first = np.atleast_1d(axes)[0]
    first.set_ylabel("position $x$")
    for colour, label in (
        ("blue", "pulled to $a_1 = 1$"),
        ("vermilion", "pulled to $a_2 = -1$"),
        ("black", "flow of the mean loss"),
    ):
        first.plot([], [], color=COLOURS[colour], lw=1.8, label=label)
    first.legend(frameon=False, loc="upper right")
    caption = (
        "x' = -κ(x - a_I): the loss in force (colour) switches at the rate γ, from one "
        "start. Small learning rates 1/γ bring the path to the flow of the mean loss "
        "(black); what is left of the noise has the size γ^{-1/2}."
    )
    return fig, Numbers(caption, rates=rates, **arrays)


@figure
def zero_mass_paths(
    *, masses: Sequence[float] = (1.0, 0.3, 0.05), time: float = 12.0, rate: float = 0.6
) -> tuple[Any, Numbers]:
    """One path of the label, followed with several masses and with none.

    Args:
        masses: in units α²/κ, decreasing, at most 4.
        time: end.
        rate: of the clock.
    """
    import matplotlib.pyplot as plt

    times, zero = np.linspace(0, time, 1500), jnp.zeros(1)
    fig, ax = plt.subplots(figsize=(8.4, 4.2), layout="constrained")
    options = {"t1": time, "key": 8, "paths": 1, "events": 40}
    arrays: dict[str, Any] = {"times": times}
    colours = ("orange", "green", "blue", "purple")
    for mass, colour in zip(masses, colours, strict=False):
        y0 = SwitchingMomentumState(zero, zero, None)
        run = simulate_skeletons(_momentum(mass, rate), y0, **options)
        x = np.asarray(run.at(times).position)[:, 0, 0]
        ax.plot(times, x, color=COLOURS[colour], lw=1.8, label=rf"$m = {mass:g}$")
        arrays[f"mass_{mass:g}"] = x
    limit = zero_mass(_momentum(1.0, rate))
    run = simulate_skeletons(limit, SwitchingState(zero, None), **options)
    states = run.at(times)
    x, labels = np.asarray(states.position)[:, 0, 0], np.asarray(states.label)[:, 0]
    ax.plot(times, x, color=COLOURS["black"], lw=1.6, ls="--", label="$m = 0$")
    target = np.where(labels == 0, 1.0, -1.0)
    ax.step(times, target, where="post", color="0.75", lw=1.2, zorder=0)
    side = "bottom" if target[0] > 0 else "top"
    ax.text(0.1, target[0] * 1.04, "centre in force", color="0.5", va=side)
    ax.set(
        xlim=(0, time),
        xlabel=r"time $\kappa t/\alpha$",
        ylabel="position $x$",
        ylim=(-1.75, 1.75),
    )
    ax.legend(frameon=False, ncols=len(masses) + 1, loc="lower center")
    ax.spines[["top", "right"]].set_visible(False)
    caption = (
        "m x'' + α x' = -κ(x - a_I) along one path of the label (grey: the centre in "
        "force). Heavy particles overshoot and arrive late; as the mass goes to 0 the "
        "paths tend to the process without momentum (dashed), uniformly in time and "
        "with an error proportional to m."
    )
    return fig, Numbers(caption, masses=masses, massless=x, **arrays)


@figure
def limit_orders(*, paths: int = 400, levels: int = 5) -> tuple[Any, Numbers]:
    """Distances to both limits against their parameter: slopes -1/2 and 1.

    Args:
        paths: of the simulations (circles).
        levels: parameters a panel, each a quarter or four times the one before.
    """
    import matplotlib.pyplot as plt

    fig, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.2), layout="constrained")
    rates = 10.0 * 4.0 ** np.arange(levels - 1)
    masses = 0.2 * 0.25 ** np.arange(levels)
    averaging = _averaging_errors(rates, paths)
    sup = _momentum_errors(masses, paths)
    slow = stationary_distance(masses, 2.0)
    fast = stationary_distance(masses, 1e6)
    dots = {"ms": 7, "mfc": "white", "color": COLOURS["blue"]}
    left.loglog(rates, averaging, "o", label=r"simulated, sup over $t\leq 2$", **dots)
    exact = np.sqrt(_averaged_variance(rates))
    left.plot(rates, exact, color=COLOURS["green"], lw=2, label="exact, at $t = 2$")
    guide = 1.9 / np.sqrt(rates)
    left.plot(rates, guide, "--", color="0.5", label=r"slope $-1/2$")
    left.set(
        xlabel=r"relaxation rate of the label $r$",
        ylabel=r"distance to the averaged flow (RMS)",
        title="fast switching",
    )
    right.loglog(masses, sup, "o", label=r"simulated, sup over $t\leq 4$", **dots)
    right.plot(masses, slow, color=COLOURS["green"], lw=2, label="stationary, $r = 2$")
    right.plot(
        masses, fast, color=COLOURS["vermilion"], lw=2, label=r"stationary, $r = 10^6$"
    )
    right.plot(masses, 2 * masses, "--", color="0.5", label="slope 1")
    right.plot(masses, 1e-3 * np.sqrt(masses), ":", color="0.5", label=r"slope $1/2$")
    right.set(
        xlabel=r"mass $m$",
        ylabel=r"distance to the process of mass 0 (RMS)",
        title="mass to 0, same label",
    )
    for ax in (left, right):
        ax.legend(frameon=False)
        ax.spines[["top", "right"]].set_visible(False)
    caption = (
        "Two losses (x ∓ 1)²/2, α = 1. Left: switching at the rate r stays within "
        "r^{-1/2} of the averaged flow. Right: on one path of the label the process "
        "with momentum is within O(m) of its limit, not the m^{1/2} of Brownian noise; "
        "that comes back (red) once the label flips faster than the velocity relaxes."
    )
    numbers = {"rates": rates, "averaging": averaging, "averaging_exact": exact}
    numbers |= {"masses": masses, "sup": sup, "slow": slow, "fast": fast}
    return fig, Numbers(caption, paths=paths, **numbers)


def _averaging_errors(rates: np.ndarray, paths: int) -> np.ndarray:
    """RMS of sup|x| over [0, 2] from 0; between rings the maximum is at an end."""
    out, events = [], int(rates[-1] * 1.2) + 60
    for key, rate in enumerate(rates):
        process = StochasticGradientProcess(
            quadratic_sum(PAIR), UniformIndex(2, float(rate) / 2)
        )
        start = SwitchingState(jnp.zeros(1), None)
        run = simulate_skeletons(
            process, start, t1=2.0, key=key, paths=paths, events=events
        )
        x = np.asarray(run.states.position)[..., 0]
        out.append(np.sqrt(np.mean(np.max(np.abs(x), axis=1) ** 2)))
    return np.array(out)


def _averaged_variance(r: np.ndarray, t: float = 2.0) -> np.ndarray:
    """E x_t² from x = 0 and a stationary label."""
    gone = np.exp(-2 * t)
    lag = 2 * (np.exp(-(1 + r) * t) - gone) / (1 - r)
    return (1 - gone - lag) / (1 + r)


def _momentum_errors(masses: np.ndarray, paths: int) -> np.ndarray:
    """RMS of sup|x^m - x⁰| over [0, 4], r = 2, from rest."""
    zero, out = jnp.zeros(1), []
    options = {"t1": 4.0, "key": 3, "paths": paths, "events": 32}
    for mass in masses:
        process = _momentum(float(mass), 1.0)
        heavy = SwitchingMomentumState(zero, zero, None)
        runs = (
            simulate_skeletons(process, heavy, **options),
            simulate_skeletons(
                zero_mass(process), SwitchingState(zero, None), **options
            ),
        )
        out.append(np.sqrt(np.mean(np.asarray(largest_gap(*runs)) ** 2)))
    return np.array(out)


def stationary_distance(masses: np.ndarray, r: float) -> np.ndarray:
    """√E(x^m - x⁰)² of the stationary pair on one path of the label.

    Centres ±1, κ = α = 1: (x^m, v, x⁰) is a switched linear system, whose second
    moments are one linear solve.

    Args:
        masses: shape [k].
        r: the label's relaxation rate (1/time).
    """
    out, away = [], np.array([1.0, 0.0, -1.0])
    for m in masses:
        field = np.array([[0.0, 1.0, 0.0], [-1 / m, -1 / m, 0.0], [0.0, 0.0, -1.0]])
        pull = np.array([0.0, 1 / m, 1.0])
        fields = LinearFields(
            jnp.asarray(np.stack([field, field])),
            jnp.asarray(np.stack([pull, -pull])),
            jnp.asarray(r / 2 * np.array([[-1.0, 1.0], [1.0, -1.0]])),
        )
        second = np.asarray(stationary_switched_moments(fields).second)
        out.append(np.sqrt(away @ second @ away))
    return np.array(out)
