"""What gradient flow conserves, and what its steps and reparametrisations change."""

from __future__ import annotations

from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import optax

from discretize.figures.registry import figure
from discretize.optimiser import OptaxStep, Training
from discretize.schemes.weight_normalised import ProjectedEuler
from flows import (
    GradientFlow,
    WeightNormalisedFlow,
    WeightNormalisedState,
    balancedness,
    drift,
    iterate,
    null_projector,
    reference,
    solve,
    sphere_multiplier,
    weight_normalised_limit,
)
from flows.drawing import COLOURS, Numbers
from flows.problems import deep_linear, least_squares


class Regression(NamedTuple):
    """Least squares with fewer rows than weights, and a random direction u(0)."""

    objective: Any
    solution: np.ndarray
    direction: np.ndarray
    unseen: float

    @property
    def norm(self) -> float:
        """The norm g* of the solution of least norm."""
        return float(np.linalg.norm(self.solution))

    @property
    def hessian(self) -> np.ndarray:
        """AᵀA/m."""
        features = np.asarray(self.objective.data.tree[0])
        return features.T @ features / len(features)

    def start(self, scale: float, norm: float = 1.0) -> WeightNormalisedState:
        """The state s = scale, w = norm · u(0)."""
        return WeightNormalisedState(
            jnp.asarray([scale]), jnp.asarray(norm * self.direction)
        )

    def distance(self, x: Any) -> float:
        """|x - x*|."""
        return float(np.linalg.norm(np.asarray(x) - self.solution))


def _regression(rows: int = 8, columns: int = 20, seed: int = 0) -> Regression:
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((rows, columns))
    objective: Any = least_squares(features, features @ rng.standard_normal(columns))
    u = rng.standard_normal(columns)
    u /= np.linalg.norm(u)
    unseen = float(np.linalg.norm(np.asarray(null_projector(features)) @ u))
    return Regression(objective, np.asarray(objective.facts.minimiser.value), u, unseen)


def _end(flow: Any, y: Any, t1: float, tolerance: float = 1e-9) -> Any:
    run = reference(flow, y, t1, tolerance=tolerance)
    return run.positions[-1]


NORMS = {0.7: "green", 1.0: "blue", 1.5: "purple"}


@figure
def weight_normalisation_distance(*, scales: int = 7, t1: float = 100.0):
    """Distance to the least-norm solution at the end, over the scale at the start."""
    import matplotlib.pyplot as plt

    problem = _regression()
    flow = WeightNormalisedFlow(problem.objective, 1.0)
    starts = np.geomspace(0.01, 0.8 * problem.norm, scales)
    fine = np.geomspace(0.01, 0.99 * problem.norm, 200)
    fig, ax = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    gradient = fine * problem.unseen
    ax.plot(fine, gradient, "--", color=COLOURS["black"])
    ax.text(0.5, 0.6 * problem.unseen, "gradient flow", rotation=28, va="bottom")
    arrays = {"scales": starts, "gradient_flow": starts * problem.unseen}
    for norm, ink in NORMS.items():
        curve = [
            weight_normalised_limit(problem.norm, s, problem.unseen, norm=norm)[1]
            for s in fine
        ]
        ends = [
            problem.distance(_end(flow, problem.start(s, norm), t1)) for s in starts
        ]
        ax.plot(fine, curve, color=COLOURS[ink])
        ax.plot(starts, ends, "o", ms=5, color=COLOURS[ink])
        ax.text(
            0.011, curve[0] * 1.15, f"$|w| = {norm:g}$", color=COLOURS[ink], va="bottom"
        )
        arrays |= {f"measured_{norm:g}": ends}
        arrays |= {
            f"predicted_{norm:g}": [
                weight_normalised_limit(problem.norm, s, problem.unseen, norm=norm)[1]
                for s in starts
            ]
        }
    ax.set(
        xscale="log",
        yscale="log",
        xlabel="scale at the start, $s(0) = |x(0)|$",
        ylabel=r"distance at the end, $|x_\infty - x^*|$",
        title="lower is nearer to the least-norm solution",
    )
    caption = (
        "Least squares, 8 rows and 20 weights: dots are weight-normalised flows run to "
        "the end, lines the formula from the invariant. Gradient flow keeps its unseen "
        "part, so its distance is proportional to the start; weight normalisation's is "
        "set by |w|: below the dashed line it helps, above it (|w| = 1.5, or a tiny "
        "start) it harms."
    )
    return fig, Numbers(caption, **arrays)


@figure
def balancedness_drift(
    *, rates: tuple[float, ...] = (0.02, 0.01, 0.005, 0.0025), t1: float = 2.0
):
    """Drift of the layers' imbalance: gradient flow, and gradient descent."""
    import matplotlib.pyplot as plt

    rng = np.random.default_rng(1)
    net = deep_linear(rng.standard_normal((4, 4)), hidden=(5, 3))
    x = jnp.asarray(0.5 * rng.standard_normal(net.size))
    times = jnp.linspace(0.0, t1, 41)
    flow = reference(GradientFlow(net), x, times, tolerance=1e-12)
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.9), layout="constrained")
    kept = drift(balancedness, flow)
    left.semilogy(times[1:], np.maximum(kept[1:], 1e-16), color=COLOURS["blue"])
    left.text(0.6 * t1, 3 * np.max(kept), "gradient flow", color=COLOURS["blue"])
    ends, inks = [], ("black", "vermilion", "orange", "purple", "green", "sky")
    for k, eta in enumerate(rates):
        run = iterate(
            OptaxStep(optax.sgd, eta), Training(net), x, h=eta, steps=round(t1 / eta)
        )
        moved = drift(lambda y: balancedness(net.params(y)), run, of="state")
        ends.append(moved[-1])
        ink = COLOURS[inks[k % len(inks)]]
        left.semilogy(
            run.times[1:], moved[1:], color=ink, label=rf"descent, $\eta = {eta:g}$"
        )
        right.loglog(eta, moved[-1], "o", color=ink)
    slope = np.polyfit(np.log(rates), np.log(ends), 1)[0]
    constant = _constant(net, x, t1)
    line = np.array([min(rates) / 1.5, max(rates) * 1.5])
    right.loglog(line, constant * line, "--", color=COLOURS["black"])
    right.annotate(
        r"$\eta\,|\int_0^T (G_{i+1}^\top G_{i+1} - G_i G_i^\top)\,dt|$",
        (line[0] * 2.2, constant * line[0] * 2.2),
        (line[0] * 1.6, constant * line[1] * 0.9),
        arrowprops={"arrowstyle": "-", "lw": 0.7},
    )
    left.set(xlabel="time $t = k\\eta$", ylabel=r"drift $|B(t) - B(0)|$")
    left.legend(frameon=False, fontsize=8, loc="center right")
    right.set(xlabel=r"learning rate $\eta$ (time)", ylabel="drift $|B(T) - B(0)|$")
    right.set_xticks(rates, [f"{eta:g}" for eta in rates])
    right.set_xticks([], minor=True)
    right.set_title(f"descent drifts in proportion to $\\eta$: slope {slope:.2f}")
    left.set_title("the flow conserves $B$, descent does not")
    caption = (
        "Three linear layers, B the differences of neighbouring Gram matrices. "
        "Gradient flow conserves them to the solver's tolerance; gradient descent "
        "drifts in proportion to its learning rate, by a known integral (dashed)."
    )
    return fig, Numbers(
        caption, rates=rates, drifts=ends, constant=constant, slope=slope, flow=kept
    )


def _constant(net: Any, x: Any, t1: float, steps: int = 4000) -> float:
    """|∫ (G_{i+1}ᵀ G_{i+1} - G_i G_iᵀ) dt| along gradient flow, by Simpson's rule."""
    from scipy.integrate import simpson

    ts = jnp.linspace(0.0, t1, steps + 1)
    run = solve(GradientFlow(net), x, 0.0, t1, saveat=diffrax.SaveAt(ts=ts))

    def rate(x):
        slopes = net.params(net.gradient(x))
        return jnp.concatenate([jnp.ravel(b) for b in balancedness(slopes)])

    rates = np.asarray(jax.lax.map(rate, run.positions))
    return float(np.linalg.norm(simpson(rates, x=np.asarray(ts), axis=0)))


@figure
def rpgd_two_phases(
    *,
    scale: float = 0.2,
    counts: tuple[int, ...] = (0, 25, 50, 75, 100),
    first_rate: float = 0.1,
    rate: float = 0.01,
    steps: int = 1500,
):
    """Two-phase rPGD: first the direction alone, then the scale as well."""
    import matplotlib.pyplot as plt

    problem = _regression()
    held, free = (WeightNormalisedFlow(problem.objective, c) for c in (0.0, 1.0))
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.9), layout="constrained")
    inks = ("black", "vermilion", "orange", "green", "blue", "purple")
    ends = []
    for k, count in enumerate(counts):
        y, path = problem.start(scale), []
        if count:
            run = iterate(ProjectedEuler(), held, y, h=first_rate, steps=count)
            path += [problem.distance(x) for x in np.asarray(run.positions)[:-1]]
            y = jax.tree.map(lambda a: a[-1], run.states)
        run = iterate(ProjectedEuler(), free, y, h=rate, steps=steps)
        path += [problem.distance(x) for x in np.asarray(run.positions)]
        ends.append(path[-1])
        ink = COLOURS[inks[k % len(inks)]]
        left.semilogy(path, color=ink, label=f"{count} steps")
        right.semilogy(count, path[-1], "o", color=ink)
    mu = sphere_multiplier(problem.hessian, problem.solution, scale)
    factor = 1 / (1 + first_rate * scale * mu)
    fine = np.linspace(min(counts), max(counts), 100)
    law = ends[-1] * factor ** (fine - counts[-1])
    right.semilogy(fine, law, "--", color=COLOURS["black"])
    right.text(0.55 * max(counts), law[50], r"$\propto (1 + \eta s \mu)^{-k}$")
    left.set(xlabel="step", ylabel="distance to the least-norm solution")
    left.set_title("each run ends where its unseen part stays")
    right.set_title("a longer first phase leaves less of it")
    left.legend(frameon=False, title="first phase", fontsize=8)
    right.set(xlabel="steps of the first phase, $k$", ylabel="distance at the end")
    caption = (
        f"rPGD on least squares from |x| = {scale:g}, below the least norm "
        f"{problem.norm:.2f} of a solution. Holding the scale at first lets the unseen "
        "part decay, soon by a known factor a step (dashed), and the second phase then "
        "ends as near to the least-norm solution as one likes."
    )
    return fig, Numbers(caption, counts=counts, ends=ends, factor=factor)
