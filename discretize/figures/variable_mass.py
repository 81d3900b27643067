"""How far from Newton's path a mass and a friction carry the inertial-Newton flow."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from discretize.figures.registry import figure
from flows import InertialNewtonFlow, at_rest, inertial_oscillation
from flows.drawing import COLOURS, Numbers
from flows.problems import quadratic

CURVATURES = (0.3, 3.0)
START = (2.0, 1.0)
CASES = {
    "small mass, small friction": (1e-2, 1e-2, "green"),
    "small mass, large friction": (1e-2, 1.0, "vermilion"),
    "large mass, small friction": (2.0, 1e-2, "blue"),
}
"""Name -> mass, friction, colour."""


@functools.cache
def _paths() -> Any:
    """(masses [k], frictions [k], times) -> positions from rest, [k, times, 2]."""

    def path(mass, friction, times):
        flow = InertialNewtonFlow(quadratic(CURVATURES), friction, 1.0, mass)
        start = at_rest(jnp.array(START))
        return jax.vmap(lambda t: inertial_oscillation(flow, start, t).position)(times)

    return jax.jit(jax.vmap(path, (0, 0, None)))


@figure
def distance_to_newton(*, levels: int = 33) -> tuple[Any, Numbers]:
    """Paths of the inertial-Newton flow, and their distance to Newton's, by ε and α.

    Args:
        levels: masses ε and frictions α, each from 1e-4 to 10.
    """
    import matplotlib.pyplot as plt

    times = np.linspace(0.0, 12.0, 601)
    newton = np.exp(-times)[:, None] * np.array(START)
    values = np.geomspace(1e-4, 10.0, levels)
    masses, frictions = (a.ravel() for a in np.meshgrid(values, values))
    found = np.asarray(_paths()(masses, frictions, times))
    distance = np.max(np.linalg.norm(found - newton, axis=-1), axis=1)
    distance = distance.reshape(levels, levels)  # [frictions, masses]
    few, rubs, _ = zip(*CASES.values(), strict=True)
    shown = np.asarray(_paths()(jnp.array(few), jnp.array(rubs), times))
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.2), layout="constrained")
    _draw_paths(left, newton, shown)
    _draw_map(fig, right, values, distance)
    caption = (
        f"A quadratic of curvatures {CURVATURES[0]:g} and {CURVATURES[1]:g}, "
        "β = 1, from rest. Left: Newton's path (grey) is straight. A large mass "
        "overshoots, a large friction bends the path like gradient flow's; with both "
        "small the path is Newton's. Right: the largest distance from Newton's path. "
        "Contours are corners: the larger of the two effects decides, and each "
        "shrinks in proportion to ε or α."
    )
    numbers = {"mass": values, "friction": values, "distance": distance}
    return fig, Numbers(caption, t=times, newton=newton, paths=shown, **numbers)


def _draw_paths(ax: Any, newton: np.ndarray, shown: np.ndarray) -> None:
    x, y = (np.linspace(*ends, 80) for ends in ((-1.3, 2.2), (-0.35, 1.1)))
    a, b = CURVATURES
    loss = a * x[None, :] ** 2 / 2 + b * y[:, None] ** 2 / 2
    ax.contour(x, y, loss, levels=np.linspace(0.05, 2.0, 9) ** 2, colors="0.85")
    ax.plot(*newton.T, color="black", lw=5, alpha=0.35, label="Newton's flow")
    for path, (name, (_, _, colour)) in zip(shown, CASES.items(), strict=True):
        ax.plot(*path.T, color=COLOURS[colour], lw=2, label=name)
    ax.plot(0, 0, "+", color="black", ms=10)
    ax.set(xlabel=r"$x_1$ (flat direction)", ylabel=r"$x_2$ (steep direction)")
    ax.legend(frameon=False, loc="upper left", fontsize=9)


def _draw_map(fig: Any, ax: Any, values: np.ndarray, distance: np.ndarray) -> None:
    log = np.log10(distance)
    mesh = ax.pcolormesh(values, values, log, cmap="cividis", shading="gouraud")
    ax.set(xscale="log", yscale="log")
    lines = ax.contour(
        values, values, log, levels=[-2, -1, 0], colors="white", linestyles="solid"
    )
    ax.clabel(lines, fmt=lambda level: f"$10^{{{level:g}}}$", fontsize=9)
    for mass, friction, colour in CASES.values():
        ax.plot(mass, friction, "o", color=COLOURS[colour], mec="white", ms=10)
    ax.set_xlabel(r"mass $\varepsilon$ (time² · curvature)")
    ax.set_ylabel(r"friction $\alpha$ (time · curvature)")
    bar = fig.colorbar(mesh, ax=ax)
    bar.set_label(r"$\log_{10}\ \max_t\,|x(t) - x_{\mathrm{Newton}}(t)|$")
