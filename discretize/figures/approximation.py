"""Figures on the distance between gradient descent and gradient flow."""

from __future__ import annotations

import functools
from typing import Any

import jax.numpy as jnp
import numpy as np

from discretize.certificate import (
    certify_linear_net,
    error_growth,
    error_law,
    path_ends,
)
from discretize.figures.registry import figure
from discretize.schemes import Euler
from flows import GradientFlow, iterate
from flows.drawing import COLOURS, Numbers
from flows.problems import digits_mlp

NET = (
    [["1", "0"], ["0", "1/2"]],
    (
        [["3/10", "1/10"], ["-1/5", "2/5"]],
        [["1/4", "0"], ["1/10", "1/2"]],
    ),
)


def _axes(columns: int = 1) -> tuple[Any, Any]:
    import matplotlib.pyplot as plt

    size = (5.4 if columns == 1 else 9.4, 3.6)
    return plt.subplots(1, columns, figsize=size, layout="constrained")


@functools.cache
def _digits(rows: int, hidden: int) -> tuple[Any, Any]:
    objective, params = digits_mlp(
        rows=rows, hidden=hidden, loss="cross_entropy", bias=False
    )
    return objective, params


def _descent(objective: Any, start: Any, rate: float, steps: int, every: int):
    run = iterate(
        Euler(),
        GradientFlow(objective),
        objective.ravel(start),
        h=rate,
        steps=steps,
        save=every,
    )
    return np.asarray(run.positions)


@functools.cache
def _path(rows: int, hidden: int, t1: float, cells: int) -> tuple[Any, Any, Any]:
    """Times, the law, and both ends of the spectrum along the flow."""
    objective, params = _digits(rows, hidden)
    times = t1 * np.linspace(0, 1, cells + 1) ** 1.5  # denser where it moves fast
    law = error_law(objective, params, times=times)
    return times, law, path_ends(objective, law.positions)


@figure
def smaller_steps(
    *,
    rows: int = 300,
    hidden: int = 8,
    learning_rate: float = 0.2,
    steps: int = 100,
    ratios: tuple[int, ...] = (2, 5, 10, 20),
) -> tuple[Any, Numbers]:
    """Descent against itself with smaller steps, |x_k(η) - x_{rk}(η/r)|, on digits.

    After Elkabetz and Cohen, NeurIPS 2021, arXiv 2107.06608.

    Args:
        rows: images.
        hidden: width of the tanh network.
        learning_rate: η.
        steps: of the coarse run.
        ratios: r.
    """
    objective, start = _digits(rows, hidden)
    coarse = _descent(objective, start, learning_rate, steps, 1)
    law = error_law(objective, start, times=learning_rate * np.arange(steps + 1))
    travelled = np.linalg.norm(coarse - coarse[0], axis=1)
    predicted = law.distance(learning_rate)
    k = np.arange(steps + 1)
    fig, ax = _axes()
    ax.plot(k[1:], travelled[1:], color=COLOURS["black"], lw=2, label="from the start")
    gaps = []
    names = ("sky", "blue", "green", "orange", "purple")
    for r, name in zip(ratios, names, strict=False):
        fine = _descent(objective, start, learning_rate / r, steps * r, r)
        gaps.append(np.linalg.norm(coarse - fine, axis=1))
        label = rf"from descent with $\eta/{r}$"
        ax.plot(k[1:], gaps[-1][1:], color=COLOURS[name], label=label)
    ax.plot(
        k[1:],
        predicted[1:],
        "--",
        color=COLOURS["vermilion"],
        label=r"from the flow: $\eta|c(t)|$, predicted",
    )
    ax.set(
        yscale="log",
        xlabel=rf"step $k$ of descent ($\eta = {learning_rate:g}$)",
        ylabel=r"distance $|x_k(\eta) - \cdot\,|$",
    )
    ax.legend(frameon=False, fontsize=8)
    caption = (
        "Gradient descent on digits against runs with steps r times smaller. As r "
        "grows the distance tends to the one from gradient flow, which the first-order "
        "law predicts; all stay far below the distance from the start."
    )
    return fig, Numbers(
        caption,
        step=k,
        travelled=travelled,
        gaps=gaps,
        ratios=ratios,
        predicted=predicted,
    )


@figure
def curvature_along_flow(
    *, rows: int = 300, hidden: int = 8, t1: float = 20.0, cells: int = 16
) -> tuple[Any, Numbers]:
    """λ_min of the Hessian along gradient flow on digits, beside the loss.

    Args:
        rows: images.
        hidden: width of the tanh network.
        t1: last time (unit: 1/curvature).
        cells: of the grid of times.
    """
    objective, _ = _digits(rows, hidden)
    times, law, ends = _path(rows, hidden, t1, cells)
    loss = np.array([float(objective.value(jnp.asarray(x))) for x in law.positions])
    middle = (ends["low"][1:] + ends["low"][:-1]) / 2
    spent = float(-np.sum(np.diff(times) * np.minimum(middle, 0)))
    fig, (left, right) = _axes(2)
    left.plot(times, loss, color=COLOURS["black"])
    left.set(xlabel="time $t$ (1/curvature)", ylabel="loss $f$", ylim=(0, None))
    right.axhline(0, color="0.7", lw=0.8)
    right.plot(times, ends["low"], "o-", ms=3, color=COLOURS["vermilion"])
    right.fill_between(times, ends["low"], 0, color=COLOURS["vermilion"], alpha=0.2)
    right.set(xlabel="time $t$ (1/curvature)", ylabel=r"$\lambda_{\min}(\nabla^2 f)$")
    right.annotate(
        rf"area about ${spent:.2g}$:"
        + f"\ndefects grow up to $e^{{{spent:.2g}}}$-fold",
        (0.35, 0.25),
        xycoords="axes fraction",
    )
    caption = (
        "The loss and the smallest Hessian eigenvalue along gradient flow on digits. "
        "The loss is not convex on the way, but ever less so as it falls; only the "
        "shaded area lets defects of descent grow."
    )
    return fig, Numbers(
        caption,
        time=times,
        loss=loss,
        e_min=ends["low"],
        e_max=ends["high"],
        area=spent,
    )


@figure
def growth_of_defects(
    *, rows: int = 300, hidden: int = 8, t1: float = 20.0, cells: int = 16
) -> tuple[Any, Numbers]:
    """K(t) along gradient flow on digits, against t and (e^{μt} - 1)/μ.

    Args:
        rows: images.
        hidden: width of the tanh network.
        t1: last time (unit: 1/curvature).
        cells: of the grid of times.
    """
    times, _, ends = _path(rows, hidden, t1, cells)
    low = ends["low"]
    along = error_growth(times, (low[1:] + low[:-1]) / 2)
    mu = float(-low.min())
    fine = np.linspace(0, t1, 200)
    worst = np.expm1(mu * fine) / mu
    fig, ax = _axes()
    ax.plot(
        fine,
        worst,
        color=COLOURS["vermilion"],
        label=rf"worst curvature for ever, $(e^{{\mu t}} - 1)/\mu$, $\mu = {mu:.2f}$",
    )
    ax.plot(times, along, "o-", ms=3, color=COLOURS["blue"], label="along the flow")
    ax.plot(fine, fine, "--", color=COLOURS["black"], label="convex: at most $t$")
    ax.set(
        yscale="log",
        xlabel="time $t$ (1/curvature)",
        ylabel="growth factor $K(t)$ (time)",
        ylim=(0.3, 30 * along[-1]),
    )
    ax.legend(frameon=False, fontsize=9, loc="lower right")
    caption = (
        "How much defects of gradient descent have grown by time t on digits. The "
        "worst curvature met on the path, held for ever, would let them explode; along "
        "the flow they grow a few times as much as on a convex loss."
    )
    return fig, Numbers(caption, time=times, along=along, fine=fine, worst=worst, mu=mu)


@figure
def certified_step_size(*, points: int = 25) -> tuple[Any, Numbers]:
    """The certified learning rate against the radius ε of the tube.

    Args:
        points: values of ε.
    """
    target, factors = NET
    found = certify_linear_net(target, factors, t1=2, pieces=10, cells=8)
    best = found.approximation
    eps = np.geomspace(1e-2, 1.0, points)
    rates = np.array([best.at(float(e)).learning_rate for e in eps])
    shown = [e for e in (0.01, 0.03, best.eps, 0.3) if best.at(e).learning_rate > 0]
    runs = [found.at(e).descend() for e in shown]
    distances = np.array([run.upper.max() for run in runs])
    fig, (left, right) = _axes(2)
    left.loglog(eps, np.where(rates > 0, rates, np.nan), color=COLOURS["blue"])
    left.plot(best.eps, best.learning_rate, "o", color=COLOURS["vermilion"])
    left.annotate(
        rf"best: $\varepsilon = {best.eps:.2g}$",
        (best.eps, best.learning_rate),
        textcoords="offset points",
        xytext=(-28, -16),
    )
    left.set(
        xlabel=r"promised distance $\varepsilon$",
        ylabel=r"certified learning rate $\eta(\varepsilon)$",
        ylim=(None, 1.6 * best.learning_rate),
    )
    right.loglog(shown, shown, "--", color=COLOURS["black"], label="promised")
    right.plot(
        shown, distances, "o-", color=COLOURS["green"], label="found, at that step"
    )
    right.set(
        xlabel=r"promised distance $\varepsilon$", ylabel="distance from the flow"
    )
    right.legend(frameon=False)
    caption = (
        "A two-layer linear network, T = 2, in balls. Left: a wide tube meets "
        "worse curvature, a narrow one has no room, so one radius allows the largest "
        "step. Right: descent at the certified step is far closer than promised."
    )
    return fig, Numbers(
        caption,
        eps=eps,
        learning_rate=rates,
        best_eps=best.eps,
        shown=shown,
        distance=distances,
    )
