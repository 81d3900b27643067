"""Where switching between two convex losses blows up: a map, and what one sees."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from discretize.figures.registry import figure
from flows import quadratic_sum
from flows.drawing import COLOURS, Numbers
from sde import (
    StochasticGradientMomentumProcess,
    SwitchingMomentumState,
    UniformIndex,
    enough_events,
    moment_abscissa,
    simulate_skeletons,
    transient_switched_moments,
)

MARKS = ((0.2, "purple"), (2.0, "vermilion"), (20.0, "blue"))
"""Relaxation rates that are followed in time, with their colours."""


def pair(spread: Any, rate: Any, friction: Any) -> StochasticGradientMomentumProcess:
    """Two wells (1 ± σ) x²/2 about one minimum, unit mass, relaxation rate r."""
    losses = quadratic_sum(np.zeros((2, 1)), np.ones(2))
    bend = 1.0 + spread * jnp.array([1.0, -1.0])
    process = StochasticGradientMomentumProcess(losses, UniformIndex(2), 1.0, friction)

    def free(p):
        return p.objective.curvatures, p.index.rate

    return eqx.tree_at(free, process, (bend, jnp.asarray(rate / 2, bend.dtype)))


@jax.jit
def growth_map(spreads: Any, rates: Any, friction: Any) -> Any:
    """The growth rate of E x², shape [spreads, rates]."""

    def one(spread, rate):
        return moment_abscissa(pair(spread, rate, friction))

    return jax.vmap(lambda s: jax.vmap(lambda r: one(s, r))(rates))(spreads)


def critical(rates: Any, friction: float) -> np.ndarray:
    """σ_c(r) for κ̄ = m = 1 (claim pdmp.momentum-destabilises)."""
    r, a = np.asarray(rates), friction
    square = a * (a + r) * (2 * a * r + 4 + r**2) / (2 * a + r) ** 2
    return np.sqrt(square)


@figure
def mean_square_stability(
    *, friction: float = 0.1, spread: float = 0.75, paths: int = 800, cells: int = 60
) -> tuple[Any, Numbers]:
    """The growth rate of E x² over (r, σ), and three points of the map in time.

    Args:
        friction: α; the mean curvature and the mass are 1.
        spread: σ in (0, 1) of the three points.
        paths: simulated for the medians.
        cells: of the map, along each axis.
    """
    import matplotlib.pyplot as plt

    rates, spreads = np.geomspace(0.1, 100, cells), np.linspace(0, 0.999, cells)
    grown = np.asarray(growth_map(jnp.asarray(spreads), jnp.asarray(rates), friction))
    edge = critical(rates, friction)
    fig, (left, right) = plt.subplots(
        1, 2, figsize=(10.4, 4.2), layout="constrained", width_ratios=(1.15, 1)
    )
    _draw_map(fig, left, rates, spreads, grown, edge)
    times = np.linspace(0.5, 60, 120)
    numbers: dict[str, Any] = {}
    for rate, colour in MARKS:
        left.plot(rate, spread, "o", ms=9, color=COLOURS[colour], mec="white")
        mean, median = _in_time(spread, rate, friction, times, paths)
        right.semilogy(times, mean, color=COLOURS[colour], lw=2, label=f"r = {rate:g}")
        right.semilogy(times, median, color=COLOURS[colour], lw=1.2, ls=":")
        numbers |= {f"mean_{rate:g}": mean, f"median_{rate:g}": median}
    right.set(
        xlabel="time $t$",
        ylabel=r"$x^2$: mean (solid), median path (dotted)",
        title=rf"in time, $\sigma$ = {spread:g}",
        xlim=(0, times[-1]),
    )
    right.legend(frameon=False, loc="upper left")
    caption = (
        "Switching with momentum between (1 + σ)x²/2 and (1 - σ)x²/2, mass 1, friction "
        f"{friction:g}: both losses are convex, each mode is stable, and without "
        "momentum every point of the map is stable too. Left: E x² grows where the map "
        "is red, beyond the proved curve: not for slow switching, not for fast, but "
        "between. Right: the three points in time. At r = 2 the mean explodes while "
        "the median path decays: rare paths carry the mean, and a few runs hide it."
    )
    return fig, Numbers(
        caption,
        rates=rates,
        spreads=spreads,
        growth=grown,
        edge=edge,
        times=times,
        **numbers,
    )


def _draw_map(fig, ax, rates, spreads, grown, edge) -> None:
    top = float(np.max(np.abs(grown)))
    image = ax.pcolormesh(
        rates, spreads, grown, cmap="RdBu_r", vmin=-top, vmax=top, shading="nearest"
    )
    ax.plot(rates, edge, color="black", lw=2.2)
    ax.text(1.0, 0.87, "mean square\nblows up", ha="center", color="black")
    ax.text(1.2, 0.15, "stable", ha="center", color="black")
    ax.set(
        xscale="log",
        ylim=(0, 1),
        xlabel="relaxation rate of the label $r$ (1/time)",
        ylabel=r"spread of the curvatures $\sigma$",
        title="growth rate of $E\\,x^2$ with momentum",
    )
    fig.colorbar(image, ax=ax, label="growth rate (1/time)")


def _in_time(spread, rate, friction, times, paths) -> tuple[np.ndarray, np.ndarray]:
    """E x² by the moment equations, and the median of x² over simulated paths."""
    process = pair(spread, rate, friction)
    start = SwitchingMomentumState(jnp.ones(1), jnp.zeros(1), jnp.zeros((), int))
    moments = transient_switched_moments(process, start, times, weights="stationary")
    starts = jax.tree.map(lambda a: jnp.broadcast_to(a, (paths, *a.shape)), start)
    starts = starts._replace(label=jnp.arange(paths) % 2)
    t1 = float(times[-1])
    fastest = UniformIndex(2, MARKS[-1][0] / 2)
    held = enough_events(fastest, 0.0, t1)  # for all rates, so that one compiles
    runs = simulate_skeletons(process, starts, t1=t1, key=0, paths=paths, events=held)
    squares = np.asarray(runs.at(jnp.asarray(times)).position)[..., 0] ** 2
    return np.asarray(moments.second[:, 0, 0]), np.median(squares, axis=1)
