"""Why a scheme is tamed, what the taming does to the drift, and what it costs."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from discretize.figures.registry import figure
from discretize.schemes import Euler, Milstein, TamedEuler
from discretize.strong import strong_order
from discretize.taming import Clipping, NormTaming, Polygonal, Untamed
from flows import iterate
from flows.drawing import COLOURS, Numbers
from flows.problems import double_well
from sde import ItoDiffusion, OverdampedLangevin, draw_noise


def _well(t, y):
    return y - y**3


def _state(t, y):
    return y


@figure
def tamed_paths(
    *, start: float = 4.65, h: float = 0.1, t1: float = 10.0, key: int = 2
) -> tuple[Any, Numbers]:
    """Euler and tamed Euler from one start on one Brownian path.

    Args:
        start: X₀, near Euler's threshold √(1 + 2/h).
        h: step (time).
        t1: final time; a whole number of steps.
        key: of the Brownian path.
    """
    import matplotlib.pyplot as plt

    process, y0 = OverdampedLangevin(double_well(), 0.25), jnp.array([start])
    steps = round(t1 / h)
    noise = draw_noise(Euler(), process, y0, key, steps)
    runs = {
        name: iterate(scheme, process, y0, h=h, steps=steps, noise=noise, throw=False)
        for name, scheme in (("euler", Euler()), ("tamed", TamedEuler()))
    }
    times = {k: np.asarray(run.times) for k, run in runs.items()}
    paths = {k: np.asarray(run.positions)[:, 0] for k, run in runs.items()}
    threshold = float(np.sqrt(1 + 2 / h))
    fig, ax = plt.subplots(figsize=(7.2, 4.2), layout="constrained")
    _draw_paths(ax, times, paths, threshold)
    caption = (
        f"dX = (X - X³)dt + √(2T) dB with T = 1/4, h = {h:g}, from X₀ = {start:g}. "
        "Beyond the dashed threshold the cubic drift throws Euler further out on the "
        "other side at every step; the tamed step is shorter than 1, walks in, and "
        "then follows the same noise in the wells."
    )
    return fig, Numbers(
        caption,
        times=times["tamed"],
        tamed=paths["tamed"],
        euler_times=times["euler"],
        euler=paths["euler"],
        threshold=threshold,
    )


def _draw_paths(ax, times, paths, threshold) -> None:
    blue, red = COLOURS["blue"], COLOURS["vermilion"]
    for sign in (-1, 1):
        ax.axhspan(sign * threshold, sign * 9, color="0.93", lw=0, zorder=0)
        ax.axhline(sign * threshold, color="0.5", lw=1, ls="--", zorder=0)
    ax.plot(times["tamed"], paths["tamed"], color=blue, lw=1.8)
    shown = np.clip(paths["euler"], -1e3, 1e3)  # the axes end long before
    ax.plot(times["euler"], shown, "o-", color=red, lw=1.4, ms=4)
    count, last = len(times["euler"]), float(np.abs(paths["euler"][-1]))
    power = int(np.log10(last))
    ax.text(
        1.0,
        -6.8,
        "Euler, the same Brownian path:\n"
        f"$10^{{{power}}}$ after {count - 1} steps, then overflow",
        color=red,
        va="center",
    )
    ax.text(3.0, 2.6, "tamed Euler", color=blue)
    ax.text(
        times["tamed"][-1] - 0.1,
        threshold + 0.5,
        rf"beyond $\sqrt{{1 + 2/h}}$ = {threshold:.2f} Euler's steps grow",
        ha="right",
        color="0.35",
    )
    ax.set(
        xlim=(-0.1, times["tamed"][-1]),
        ylim=(-9, 9),
        xlabel="time $t$",
        ylabel="$X_t$",
    )


CURVES = {
    "euler": (Euler(), "Euler", "black", "o"),
    "tamed": (TamedEuler(), r"tamed, $h|b|$", "blue", "s"),
    "half": (TamedEuler(NormTaming(0.5)), r"tamed, $\sqrt{h}\,|b|$", "vermilion", "^"),
    "milstein": (Milstein(NormTaming()), "tamed Milstein", "green", "D"),
}
"""Name -> scheme, label, colour, marker."""

PANELS = {
    "additive": (2.0, r"additive noise: $0.7\,dB$"),
    "multiplicative": (1.0, r"multiplicative noise: $X\,dB$"),
}
"""Name -> start and title."""


def _process(panel: str) -> Any:
    if panel == "additive":
        return OverdampedLangevin(double_well(), 0.245)
    return ItoDiffusion(_well, _state)


@figure
def strong_errors(*, paths: int = 1000, levels: int = 6) -> tuple[Any, Numbers]:
    """Strong errors on shared Brownian paths, additive and multiplicative noise.

    Args:
        paths: number of Brownian paths.
        levels: steps 1/16, 1/32, …
    """
    import matplotlib.pyplot as plt

    hs = 0.5 ** np.arange(4, 4 + levels)
    ladder = {"t1": 1.0, "hs": hs, "key": 0, "paths": paths, "norm": "sup"}
    schemes = {name: scheme for name, (scheme, *_) in CURVES.items()}
    fig, axes = plt.subplots(
        1, 2, figsize=(9.2, 4.4), layout="constrained", sharey=True
    )
    numbers = {}
    for ax, (panel, (start, title)) in zip(axes, PANELS.items(), strict=True):
        run = strong_order(_process(panel), schemes, jnp.array([start]), **ladder)
        for name, found in run.items():
            _, label, colour, marker = CURVES[name]
            # the additive case of tamed Milstein is tamed Euler: drawn around it
            around = panel == "additive" and name == "milstein"
            found.plot(
                ax,
                color=COLOURS[colour],
                marker=marker,
                ms=10 if around else 5,
                mfc="none" if around else COLOURS[colour],
                lw=0 if around else 1.6,
                label=f"{label}: slope {found.slope:.2f}",
            )
            numbers[f"{panel}_{name}"] = found.rms
            numbers[f"{panel}_{name}_slope"] = found.slope
        _finish_ladder(ax, hs, title)
    axes[0].set_ylabel(r"$(E\max_k |X^h_{t_k} - X_{t_k}|^2)^{1/2}$")
    axes[1].set_ylabel("")
    caption = (
        f"Root mean square errors on {paths} shared Brownian paths. With additive "
        "noise Euler and taming by h|b| have order 1 (tamed Milstein is tamed Euler: "
        "diamonds on squares), while taming by √h|b| costs half an order. With noise "
        "X dB all Euler schemes have order 1/2, and Milstein's correction restores 1."
    )
    return fig, Numbers(caption, h=hs, **numbers)


def _finish_ladder(ax, hs, title) -> None:
    """Guides of slope 1/2 and 1, ticks at the steps, labels."""
    for order, height, text in ((0.5, 0.9, "1/2"), (1.0, 0.02, "1")):
        guide = height * (hs / hs[0]) ** order
        ax.loglog(hs, guide, color="0.7", lw=1, ls="--", zorder=0)
        ax.annotate(
            f"slope {text}",
            (hs[-1], guide[-1]),
            xytext=(0, 12),
            textcoords="offset points",
            color="0.45",
        )
    ticks = hs[:: max(1, len(hs) // 3)]
    ax.set_xticks(ticks, [f"1/{round(1 / h)}" for h in ticks])
    ax.minorticks_off()
    ax.set(title=title, xlabel="step $h$ (time)", ylim=(1e-4, 1.5))
    ax.legend(frameon=False, loc="lower right", fontsize=8.5)


MAPS = (
    ("identity", Untamed(), "untamed: $hG$", "black", ":"),
    ("tula", NormTaming(), r"TULA: $\frac{hG}{1 + h|G|}$", "blue", "-"),
    ("clip", Clipping(), r"clipping at $\sqrt{h}$", "green", "--"),
    ("polygonal_1", Polygonal(1.0), r"TheoPouLa, $\epsilon = 1$", "orange", "-"),
    ("polygonal_0.1", Polygonal(0.1), r"TheoPouLa, $\epsilon = 0.1$", "vermilion", "-"),
    (
        "polygonal_1e-3",
        Polygonal(1e-3),
        r"TheoPouLa, $\epsilon = 0.001$",
        "purple",
        "-",
    ),
)


@figure
def taming_map(*, h: float = 0.1) -> tuple[Any, Numbers]:
    """The step of one coordinate as a function of its gradient, for several tamings.

    Args:
        h: step (learning rate), at most 1.
    """
    import matplotlib.pyplot as plt

    positive = np.geomspace(1e-4, 1e3, 400)
    gradient = np.concatenate([-positive[::-1], [0.0], positive])
    root = float(np.sqrt(h))
    fig, (near, far) = plt.subplots(1, 2, figsize=(9.2, 4.4), layout="constrained")
    curves = {}
    for name, taming, label, colour, dashes in MAPS:

        def step(g, taming=taming):
            return h * taming(h, jnp.zeros(1), (g[None],))[0]  # tamings are odd

        curves[name] = np.asarray(jax.jit(jax.vmap(step))(jnp.asarray(gradient)))
        style = {"color": COLOURS[colour], "ls": dashes, "lw": 1.8}
        near.plot(gradient, curves[name], label=label, **style)
        far.loglog(positive, curves[name][gradient > 0], **style)
    _draw_bounds(near, far, root)
    near.set(
        xlim=(-8, 8),
        ylim=(-0.6, 0.6),
        xlabel="gradient $G$ of one coordinate",
        ylabel=r"step $h\,H_h(G)$ down the gradient",
    )
    far.set(
        xlim=(1e-4, 1e3),
        ylim=(1e-5, 10),
        xlabel="gradient $G$ (log scale)",
        ylabel=r"step $h\,H_h(G)$ (log scale)",
    )
    near.legend(frameon=False, loc="lower right", fontsize=8.5)
    caption = (
        f"What a taming does to the step, h = {h:g}. Large gradients: every tamed step "
        "is bounded, TULA's by 1, TheoPouLa's and a clipped one by √h. Small gradients "
        "(right): TheoPouLa's boosting lifts the step by 1 + √h/ε above hG, so that a "
        "plateau is crossed faster; below ε the map is linear again."
    )
    return fig, Numbers(caption, gradient=gradient, root=root, **curves)


def _draw_bounds(near, far, root) -> None:
    style = {"color": "0.6", "lw": 1, "ls": (0, (1, 2)), "zorder": 0}
    lines = (
        (near, -7.8, root, r"$\sqrt{h}$"),
        (near, -7.8, -root, r"$-\sqrt{h}$"),
        (far, 1.3e-4, root, r"$\sqrt{h}$: TheoPouLa, clipping"),
        (far, 1.3e-4, 1.0, "1: TULA"),
    )
    for ax, left, height, text in lines:
        ax.axhline(height, **style)
        ax.annotate(
            text,
            (left, height),
            xytext=(0, 4),
            textcoords="offset points",
            color="0.35",
        )
