"""The search for negative curvature: Rayleigh quotients, and paths on the sphere."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from discretize.figures.registry import figure
from discretize.hitting import first_hit
from discretize.negative_curvature import negative_curvature
from flows import RayleighFlow
from flows.drawing import COLOURS, Numbers
from flows.problems import quadratic

VIEW = (24.0, -72.0)
"""Elevation and azimuth (degrees) from which the sphere is seen."""


def _looks(n, gamma, starts, steps, target) -> np.ndarray:
    """Rayleigh quotients of searches, shape [starts, steps + 1]; ℓ = 1."""
    rest = np.linspace(0.0, 1.0, n - 1 - n // 2)
    f = quadratic(np.concatenate([[-gamma], np.zeros(n // 2), rest]))

    def one(start):
        found = negative_curvature(
            f,
            jnp.zeros(n),
            start,
            smoothness=1.0,
            radius=1e-3,
            steps=steps,
            target=target,
        )
        return found.rayleigh

    return np.asarray(jax.vmap(one)(starts))


@figure
def curvature_searches(
    *, n: int = 100, gammas: tuple[float, ...] = (0.1, 0.001), count: int = 30
) -> tuple[Any, Numbers]:
    """Curvature along the direction held, against the number of gradients.

    Args:
        n: dimension; half of the other curvatures are 0, the others fill [0, 1].
        gammas: γ, the one negative curvature being -γ; a panel each.
        count: random starts; median and the middle 80 % are drawn.
    """
    import matplotlib.pyplot as plt

    starts = jnp.asarray(np.random.default_rng(0).standard_normal((count, n)))
    fig, axes = plt.subplots(
        1, len(gammas), figsize=(9.0, 3.7), sharey=True, layout="constrained"
    )
    arrays = {}
    for ax, gamma in zip(axes, gammas, strict=True):
        steps = int(12 / gamma)
        for name, target, colour in (
            ("plain search", None, "blue"),
            ("with momentum", gamma, "vermilion"),
        ):
            long = steps if target is None else int(60 / math.sqrt(gamma))
            looks = _looks(n, gamma, starts, long, target) / gamma
            low, middle, high = np.quantile(looks, [0.1, 0.5, 0.9], axis=0)
            k = np.arange(long + 1) + 2  # ∇f at x, and at every point beside it
            ax.fill_between(k, low, high, color=COLOURS[colour], alpha=0.2, lw=0)
            ax.plot(k, middle, color=COLOURS[colour], lw=2, label=name)
            arrays[f"{name.split()[-1]}_{gamma:g}"] = first_hit(looks < -0.25) + 2
        ax.axhline(-0.25, color="0.4", ls="--", lw=1)
        ax.axhline(0, color="0.7", lw=0.8, zorder=0)
        ax.set(xscale="log", ylim=(-1.1, 1.3), xlabel="gradients")
        ax.set_title(rf"lowest curvature $-\gamma$, $\gamma = {gamma:g}\,\ell$")
    axes[0].set_ylabel(r"curvature along the direction, in $\gamma$")
    axes[0].annotate(r"$-\gamma/4$: enough", (2.2, -0.25), (2.2, -0.5), color="0.35")
    axes[0].legend(frameon=False, loc="upper right")
    medians = {k: float(np.median(v)) for k, v in arrays.items()}
    caption = (
        f"A search in {n} dimensions: one direction of negative curvature -γ, half of "
        "the others flat, the rest up to 1. What to see: gradients alone find it. The "
        "plain power method needs a time like 1/γ, with momentum 1/√γ: a hundred times "
        f"flatter, {medians[f'search_{gammas[0]:g}']:.0f} gradients become "
        f"{medians[f'search_{gammas[-1]:g}']:.0f}, but "
        f"{medians[f'momentum_{gammas[0]:g}']:.0f} only "
        f"{medians[f'momentum_{gammas[-1]:g}']:.0f} (median; the band holds 80 %). "
        "Descent after a random push turns towards it just as the plain search does."
    )
    return fig, Numbers(caption, **arrays)


@figure
def flow_on_the_sphere(
    *, spectrum: tuple[float, float, float] = (-1.0, 0.2, 1.0), smoothness: float = 8.0
) -> tuple[Any, Numbers]:
    """Directions under the Rayleigh quotient flow, and the search's steps beside them.

    Args:
        spectrum: the three curvatures, the lowest first.
        smoothness: ℓ of the search; its step is 1/ℓ.
    """
    import matplotlib.pyplot as plt

    f, x = quadratic(np.array(spectrum)), jnp.zeros(3)
    flow = RayleighFlow(f, x)
    angles = np.linspace(0, 2 * np.pi, 9)[:-1] + 0.3
    first = 0.05 + 0.15 * np.cos(3 * angles)
    ring = np.stack([first, np.sin(angles), np.cos(angles)], 1)
    ring /= np.linalg.norm(ring, axis=1, keepdims=True)
    fig = plt.figure(figsize=(9.4, 4.4), layout="constrained")
    ax: Any = fig.add_subplot(1, 2, 1, projection="3d", computed_zorder=False)
    side: Any = fig.add_subplot(1, 2, 2)
    _sphere(ax, spectrum, fig)
    times = np.linspace(0, 6, 241)
    gaps = []
    for k, start in enumerate(ring):
        u = np.asarray(flow.exact(times, jnp.asarray(start)))
        found = negative_curvature(
            f,
            x,
            jnp.asarray(start),
            smoothness=smoothness,
            radius=1.0,
            steps=48,
            keep=True,
        )
        dots: Any = np.asarray(found.directions)
        at = np.asarray(flow.exact(np.arange(49) / smoothness, jnp.asarray(start)))
        gaps.append(np.abs(dots - at).max())
        curvature = np.sum(np.array(spectrum) * u**2, axis=1)
        colour = COLOURS["blue"] if u[-1, 0] > 0 else COLOURS["vermilion"]
        ax.plot(*_front(u), color=colour, lw=2.5, zorder=5)
        ax.plot(*_front(dots[::4]), ".", color="black", ms=6, zorder=6)
        ax.plot(*_front(start[None]), "o", color="white", mec="black", ms=8, zorder=7)
        side.plot(times, curvature, color=colour, lw=1.8, label="flow" if not k else "")
        label = "search" if not k else ""
        t = np.arange(49) / smoothness
        side.plot(t[::2], found.rayleigh[::2], ".", color="black", ms=4, label=label)
    side.axhline(spectrum[0], color="0.5", ls="--", lw=1)
    side.annotate("lowest curvature", (0.1, spectrum[0] + 0.04), color="0.4")
    side.set(xlabel=r"time $t$ (1/curvature); steps $t/h$, $h = 1/\ell$")
    side.set(ylabel=r"curvature $u^\top H u$", xlim=(0, 6))
    side.legend(frameon=False)
    caption = (
        "Eight directions (circles) under u' = -(Hu - (u·Hu) u), curvatures "
        f"{', '.join(f'{s:g}' for s in spectrum)}. Every one slides down the Rayleigh "
        "quotient (shading) to the direction of the lowest curvature, or to its "
        "opposite (blue, red); those near the middle eigenvector wait there first. "
        "Dots: every fourth (right: second) step of the search by gradients, the "
        "same path up to O(h)."
    )
    return fig, Numbers(caption, starts=ring, gaps=np.array(gaps))


def _front(u) -> np.ndarray:
    """Points of the sphere as [3, points], a little lifted; NaN on the far side."""
    up, around = np.radians(VIEW)
    eye = np.array([np.cos(around), np.sin(around), np.tan(up)]) * np.cos(up)
    return np.where((u @ eye)[:, None] > 0, 1.01 * u, np.nan).T


def _sphere(ax, spectrum, fig) -> None:
    p, q = np.meshgrid(np.linspace(0, 2 * np.pi, 81), np.linspace(0, np.pi, 41))
    u = np.stack([np.cos(p) * np.sin(q), np.sin(p) * np.sin(q), np.cos(q)])
    curvature = np.tensordot(np.array(spectrum), u**2, axes=1)
    from matplotlib import cm, colormaps, colors

    shade = 0.45 + 0.55 * colormaps["cividis"]((curvature + 1) / 2)
    ax.plot_surface(*u, facecolors=shade, shade=False, lw=0, rstride=1, cstride=1)
    ax.text(1.2, -0.1, -0.05, "$e_1$", fontsize=13)
    ax.set_box_aspect((1, 1, 1))
    ax.set(xticks=[], yticks=[], zticks=[], xlim=(-0.85, 0.85), ylim=(-0.85, 0.85))
    ax.set(zlim=(-0.85, 0.85))
    ax.view_init(elev=VIEW[0], azim=VIEW[1])
    ax.set_axis_off()
    light = 0.45 + 0.55 * colormaps["cividis"](np.linspace(0, 1, 64))
    palette = colors.ListedColormap(light)
    keys = cm.ScalarMappable(colors.Normalize(-1, 1), palette)
    fig.colorbar(keys, ax=ax, shrink=0.6, label="curvature along $u$", location="left")
