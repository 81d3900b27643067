"""Regime maps and decay rates of inertial-Newton damping, and paths of both kinds."""

from __future__ import annotations

import functools
from typing import Any

import diffrax
import jax.numpy as jnp
import numpy as np

from discretize.figures.registry import figure
from discretize.inertial_newton import to_inertial_newton
from discretize.regimes import Regime, critical_mass, regime_boundaries, regimes
from flows import InertialNewtonFlow, at_rest, solve
from flows.door import require_number
from flows.drawing import COLOURS, Numbers
from flows.problems import quadratic

SHADES = {
    Regime.SADDLE: (COLOURS["purple"], "saddle"),
    Regime.NODE: (COLOURS["sky"], "node: no turns"),
    Regime.SPIRAL: (COLOURS["orange"], "spiral: turns for ever"),
    Regime.FLIP: (COLOURS["green"], "flip: other side every step"),
    Regime.UNSTABLE_SPIRAL: ("0.72", "unstable spiral"),
    Regime.UNSTABLE_FLIP: ("0.45", "unstable flip"),
    Regime.SOURCE: ("0.25", "source"),
}
LINEAR = 1e-2  # curvatures below it are drawn on a linear scale


def _curvatures(points: int) -> np.ndarray:
    """λ from -10 to 10⁴: logarithmic, through 0 by a linear piece."""
    below, above = points // 5, points - points // 5
    negative = -np.geomspace(10.0, LINEAR / 10, below)
    return np.concatenate([negative, np.geomspace(LINEAR / 10, 1e4, above)])


def _steps(damping: float, line: float | None, points: int) -> np.ndarray:
    """γ around β, and beyond the step of the line."""
    require_number("hessian_damping", damping, positive=True)
    low, high = 0.02 * damping, 4 * damping
    if line is not None:
        require_number("step", line, positive=True)
        low, high = min(low, line / 1.5), max(high, 1.5 * line)
    return np.geomspace(low, high, points)


def _paint(ax: Any, x: np.ndarray, y: np.ndarray, codes: np.ndarray) -> set[int]:
    """Regimes as colours; the codes that occur."""
    from matplotlib.colors import ListedColormap

    shades = [SHADES.get(k, ("white", ""))[0] for k in Regime]
    ends = {"vmin": -0.5, "vmax": len(Regime) - 0.5}
    ax.pcolormesh(x, y, codes, cmap=ListedColormap(shades), rasterized=True, **ends)
    ax.set_xscale("symlog", linthresh=LINEAR, linscale=0.3)
    ax.set_yscale("log")
    ax.set_xticks([-10, -0.1, 0, 0.1, 10, 1e3])
    ax.set(xlabel=r"curvature $\lambda$", xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
    ax.axvline(0, color="black", lw=0.8)
    return {int(c) for c in np.unique(codes)}


def _legend(fig: Any, codes: set[int]) -> None:
    from matplotlib.patches import Patch

    shown = [SHADES[k] for k in SHADES if int(k) in codes]
    patches = [Patch(color=colour, label=label) for colour, label in shown]
    fig.legend(handles=patches, loc="outside lower center", ncols=4, frameon=False)


def _level(ax: Any, y: float, text: str, *, dashed: bool = False) -> None:
    """A horizontal line and its name: at the left end, if dashed beyond the right."""
    ax.axhline(y, color="black", lw=1, ls="--" if dashed else "-")
    if dashed:
        # beyond the frame: the user chooses y, and another line may lie close by
        place = {"xycoords": ("axes fraction", "data"), "va": "center", "fontsize": 8}
        ax.annotate(text, (1.01, y), **place)
    else:
        ax.text(-8, y, text, va="bottom", fontsize=8, clip_on=True, color="black")


def largest_stable(friction: Any, damping: Any, step: Any, mass: Any = 1) -> np.ndarray:
    """The largest curvature at which a step is stable; NaN where none is."""
    edges = regime_boundaries(friction, damping, mass=mass, step=step)
    turn, grow = np.asarray(edges.period_two), np.asarray(edges.growing_spiral)
    # for γ > 2β the root -1 bounds stable curvatures from below, if at all; else it is
    # negative where no λ > 0 is stable
    ends = (turn > 0) & (np.asarray(step) < 2 * np.asarray(damping))
    return np.fmin(np.where(ends, turn, np.nan), grow)


@figure
def regime_map(
    *,
    friction: float = 1.0,
    hessian_damping: float = 0.1,
    step: float | None = None,
    mass: float = 1.0,
    points: int = 400,
) -> tuple[Any, Numbers]:
    """Regimes of the flow over (λ, β), and of its Euler step over (λ, γ).

    Args:
        friction: α > 0 of both maps.
        hessian_damping: β > 0 of the map of steps, a line in the map of the flow.
        step: γ > 0, a line in the map of steps, which reaches to it; None draws none.
        mass: m > 0 of both maps.
        points: of a side of a map.

    Raises:
        BadInput: a number out of its range.
    """
    import matplotlib.pyplot as plt

    stiffness = _curvatures(points)
    dampings = np.geomspace(1e-2, 10, points)
    steps = _steps(hessian_damping, step, points)
    fixed = {"mass": mass}
    flow = regimes(stiffness[None, :], friction, dampings[:, None], **fixed).regime
    euler = regimes(
        stiffness[None, :], friction, hessian_damping, step=steps[:, None], **fixed
    ).regime
    fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4.9), layout="constrained")
    codes = _paint(left, stiffness, dampings, np.asarray(flow))
    codes |= _paint(right, stiffness, steps, np.asarray(euler))
    edges = regime_boundaries(friction, dampings, mass=mass)
    for edge in (edges.spiral_low, edges.spiral_high):
        left.plot(np.asarray(edge), dampings, color="black", lw=1.6)
    stable = largest_stable(friction, hessian_damping, steps, mass)
    right.plot(stable, steps, color="black", lw=2)
    _level(left, hessian_damping, rf"$\beta = {hessian_damping:g}$", dashed=True)
    left.set(
        ylabel=r"Hessian damping $\beta$ (time)",
        title=rf"flow, $\alpha = {friction:g}$: edges $\lambda_\pm$",
    )
    right.set(
        ylabel=r"step $\gamma$ (time)",
        title=rf"step, $\beta = {hessian_damping:g}$: largest stable $\lambda$ in bold",
    )
    if step is not None:
        _level(right, step, rf"$\gamma = {step:g}$", dashed=True)
    marked = _momentum_steps(right, friction, hessian_damping) if mass == 1 else {}
    _legend(fig, codes)
    caption = (
        "What a mode of curvature λ does under inertial-Newton damping. Left, the "
        "flow: it spirals inside the tongue λ₋ < λ < λ₊ that closes at αβ = m, is a "
        "node outside, a saddle for λ < 0. Right, Euler steps of the flow (INNA): the "
        "same spirals, whatever the step; large steps flip sides or are unstable. "
        "Heavy ball and Nesterov's momentum are two horizontal lines."
    )
    return fig, Numbers(
        caption,
        curvature=stiffness,
        hessian_damping=dampings,
        step=steps,
        flow=flow,
        euler=euler,
        spiral_low=edges.spiral_low,
        spiral_high=edges.spiral_high,
        largest_stable=stable,
        **marked,
    )


def _momentum_steps(ax: Any, friction: float, damping: float) -> dict[str, float]:
    """Lines at the steps at which INNA is heavy ball, or Nesterov's momentum."""
    found = {"heavy_ball_step": damping}
    if friction * damping < 1:
        # β = (2 - αγ)γ, the smaller root, without a difference
        found["nesterov_step"] = damping / (1 + np.sqrt(1 - friction * damping))
    named = {"heavy_ball_step": "heavy ball", "nesterov_step": "Nesterov"}
    for name, h in found.items():
        momentum = 1 - friction * h
        if not 0 <= momentum <= 1:
            continue
        point = to_inertial_newton(h * h, momentum, name == "nesterov_step")
        if np.isclose(float(point.hessian_damping), damping):
            _level(ax, h, f"{named[name]}, momentum {momentum:.2f}")
    return found


RATES = ((0.0, "black"), (0.03, "blue"), (0.3, "vermilion"), (3.0, "green"))


@figure
def newton_like_rates(
    *, friction: float = 1.0, stiffness: float = 100.0, hessian_damping: float = 0.3
) -> tuple[Any, Numbers]:
    """The rate -max Re μ against the curvature, and against the mass.

    Args:
        friction: α > 0.
        stiffness: λ of the right panel.
        hessian_damping: β of the right panel.
    """
    import matplotlib.pyplot as plt

    fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    curvature = np.geomspace(1e-2, 1e5, 700)
    curves = {}
    for beta, colour in RATES:
        rate = np.asarray(regimes(curvature, friction, beta).rate)
        curves[f"beta_{beta:g}"] = rate
        label = rf"$\beta = {beta:g}$" + (", heavy ball" if beta == 0 else "")
        left.loglog(curvature, rate, color=COLOURS[colour], lw=2, label=label)
        if beta:
            left.axhline(1 / beta, color=COLOURS[colour], lw=0.8, ls=":")
            left.text(1.2e5, 1 / beta, r"$1/\beta$", va="center", color=COLOURS[colour])
    left.loglog(
        curvature, curvature / friction, color="0.5", ls="--", label=r"$\lambda/\alpha$"
    )
    left.set(
        xlabel=r"curvature $\lambda$",
        ylabel=r"rate of decay $-\max\,\Re\mu$ (1/time)",
        xlim=(1e-2, 1e5),
        ylim=(5e-3, 3e2),
        title=rf"mass 1, $\alpha = {friction:g}$",
    )
    left.legend(frameon=False, loc="upper left")
    best = float(critical_mass(stiffness, friction, hessian_damping))
    newton = stiffness / (friction + hessian_damping * stiffness)
    masses = best * np.geomspace(1e-4, 1e2, 700)
    by_mass = regimes(stiffness, friction, hessian_damping, mass=masses).rate
    right.semilogx(masses, by_mass, color=COLOURS["vermilion"], lw=2)
    right.axhline(newton, color="black", lw=1, ls="--")
    right.plot(best, 2 * newton, "o", color="black")
    right.text(masses[0], 0.9 * newton, "Levenberg–Marquardt flow, no mass")
    right.text(1.5 * best, 2 * newton, r"$m^*$: twice as fast", va="center")
    right.set(
        xlabel="mass $m$",
        ylabel=r"rate of decay $-\max\,\Re\mu$ (1/time)",
        ylim=(0, 2.3 * newton),
        title=rf"$\lambda = {stiffness:g}$, $\alpha = {friction:g}$,"
        rf" $\beta = {hessian_damping:g}$",
    )
    caption = (
        "How fast a mode decays. Left: with Hessian damping β the rate of steep modes "
        "comes to 1/β (dotted), whatever their curvature, as in Newton's method; flat "
        "modes stay slow, λ/α. Right: a mass that is neither 0 nor large doubles the "
        "rate of the massless (Levenberg–Marquardt) flow, where node turns to spiral."
    )
    return fig, Numbers(
        caption,
        curvature=curvature,
        **curves,
        mass=masses,
        by_mass=by_mass,
        best_mass=best,
        massless=newton,
    )


PATHS = (
    ("node", 2.0, 1.0, "blue", r"$\alpha = 2,\ \beta = 1$: node"),
    ("spiral", 2.0, 0.1, "vermilion", r"$\alpha = 2,\ \beta = 0.1$: spiral"),
    ("vanishing_1", None, 1.0, "sky", r"$\alpha = 2/t,\ \beta = 1$"),
    ("vanishing_01", None, 0.1, "orange", r"$\alpha = 2/t,\ \beta = 0.1$"),
)
START = (1.0, 1.0)


def _vanishing(t: Any) -> Any:
    return 2.0 / t


@functools.cache
def _path(friction: float | None, damping: float, end: float) -> np.ndarray:
    """Positions from rest on x₁² + 2x₂², times 1 to `end`, shape [601, 2]."""
    alpha: Any = _vanishing if friction is None else friction
    flow = InertialNewtonFlow(quadratic([2.0, 4.0]), alpha, damping)
    run = solve(
        flow,
        at_rest(jnp.array(START)),
        1.0,
        end,
        stepsize_controller=diffrax.PIDController(rtol=1e-9, atol=1e-12),
        saveat=diffrax.SaveAt(ts=jnp.linspace(1.0, end, 601)),
    )
    return np.asarray(run.positions)


def _in_logarithms(ax: Any, x: np.ndarray, **style: Any) -> None:
    """A path in the plane with the radius log₁₀(|x|/10⁻⁶)."""
    size = np.linalg.norm(x, axis=1)
    seen = size > 1e-6
    direction = x[seen] / size[seen, None]
    ax.plot(*(np.log10(size[seen] / 1e-6)[:, None] * direction).T, **style)


def _rings(ax: Any) -> None:
    """Circles of equal distance, named by their powers of ten."""
    angle = np.linspace(0, 2 * np.pi, 200)
    for power in range(-5, 1):
        radius = power + 6
        ax.plot(radius * np.cos(angle), radius * np.sin(angle), color="0.88", lw=0.8)
        if power % 2 == 0:
            ax.text(
                radius, 0, rf"$10^{{{power}}}$", color="0.5", fontsize=8, ha="right"
            )
    ax.set(aspect="equal", xticks=[], yticks=[], title="the same, radius logarithmic")


@figure
def spirals_and_nodes(*, end: float = 13.0) -> tuple[Any, Numbers]:
    """Paths on x₁² + 2x₂² for two dampings, and for friction that vanishes.

    Args:
        end: last time; paths start at rest at time 1.
    """
    import matplotlib.pyplot as plt

    fig, (plane, near, far) = plt.subplots(
        1, 3, figsize=(12, 4.2), layout="constrained"
    )
    times, paths = np.linspace(1.0, end, 601), {}
    for name, friction, damping, colour, label in PATHS:
        x = paths[name] = _path(friction, damping, end)
        style = {"color": COLOURS[colour], "lw": 1.8}
        if friction is not None:
            plane.plot(*x.T, label=label, **style)
            _in_logarithms(near, x, **style)
        line = {"ls": "--" if friction is None else "-", **style}
        far.semilogy(times, np.linalg.norm(x, axis=1), label=label, **line)
    grid = np.linspace(-0.3, 1.1, 60)
    loss = grid[None, :] ** 2 + 2 * grid[:, None] ** 2
    levels = np.geomspace(0.02, 3, 7)
    plane.contour(grid, grid, loss, levels=levels, colors="0.85", zorder=0)
    plane.set(xlabel="$x_1$", ylabel="$x_2$", title="from rest at (1, 1)")
    plane.plot(0, 0, "k+", ms=9)
    plane.legend(frameon=False, loc="lower right", fontsize=8)
    _rings(near)
    far.set(
        xlabel="time $t$",
        ylabel="distance to the minimum",
        ylim=(1e-6, 3),
        title="with vanishing friction too",
    )
    far.legend(frameon=False, loc="lower left", fontsize=8)
    caption = (
        "Inertial Newton on x₁² + 2x₂² (curvatures 2 and 4). Seen from afar the two "
        "paths with friction 2 look alike. On a logarithmic radius, the one with "
        "little Hessian damping (αβ = 0.2 < 1) keeps swinging around the minimum, the "
        "one with αβ = 2 comes in straight. With friction 2/t the product αβ falls "
        "below 1 in time, and even strong Hessian damping ends in a spiral."
    )
    return fig, Numbers(caption, times=times, **paths)
