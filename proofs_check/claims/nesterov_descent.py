"""Gradients of NAG-C, and the rate of NAG-SC, beside the bounds of the theorems."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax

from discretize import OptaxStep, Training, nag_sc
from flows import iterate
from flows.problems import quadratic, ridged_logistic
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.claims.nesterov_bounds import convex, modes
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.papers import high_resolution


def _nag_sc(hyper):
    return nag_sc(hyper["rate"], hyper["strong"])


def _sgd(hyper):
    return optax.sgd(hyper["rate"])


def _heavy(hyper):
    return optax.sgd(hyper["rate"], momentum=hyper["momentum"])


# Gradients of NAG-C.

GRADIENT_STEPS = 300


def largest_least(rows: np.ndarray) -> float:
    """Max over weights w of min over i of Σ_j w_j rows[i, j], Σ w = 1, w >= 0."""
    from scipy.optimize import linprog

    steps, count = rows.shape
    found = linprog(
        np.r_[np.zeros(count), -1.0],
        A_ub=np.c_[-rows, np.ones(steps)],
        b_ub=np.zeros(steps),
        A_eq=np.r_[np.ones(count), 0.0][None],
        b_eq=[1.0],
        bounds=[(0, None)] * count + [(None, None)],
    )
    return float(-found.fun)


def _gradient_constants(ends: tuple[int, ...]) -> list[float]:
    """s²(k+1)³ min_{i<=k} |g_i|²/|e|², the largest over quadratics, at each k."""
    rate, spectrum = 1 / 3, np.geomspace(1e-5, 1.0, 64)
    squares = (spectrum * modes(convex, spectrum, GRADIENT_STEPS, rate=rate)) ** 2
    return [largest_least(squares[: k + 1] * rate**2 * (k + 1) ** 3) for k in ends]


@claim(
    "inertial.nag-c-gradient-bound",
    title="The smallest squared gradient of NAG-C falls like 1/k³",
    source=high_resolution("theorem 6 of version 3"),
    statement=r"\min_{i\le k}|\nabla f(x_i)|^2\le\frac{8568\,|x_0-x_*|^2}{s^2(k+1)^3},"
    r"\qquad f(x_k)-f_*\le\frac{119\,|x_0-x_*|^2}{s(k+1)^2}",
    hypotheses=(
        r"$f$ convex, $\nabla f$ $L$-Lipschitz, $s \le 1/(3L)$",
        "tried: quadratics of 64 curvatures, the worst weights by linear programming",
    ),
    grade="measured",
    delta=1e-2,
    unit="|x|²",
)
def gradient_bound(ctx: Context) -> Iterator[Evidence]:
    """The largest ratios over quadratics, and where they stand below the bounds."""
    constants = _gradient_constants(ctx.choose((3, 30), (3, 10, 30, 100, 300)))
    yield decide.upper_bound(
        8568.0,
        decide.Measurement(max(constants), bias=1e-6),
        delta=ctx.delta,
        quantity="s²(k+1)³ min|g|²/|e|²",
        data={"constants": np.array(constants)},
    )
    rate, spectrum = 1 / 3, np.geomspace(1e-5, 1.0, 64)
    path = modes(convex, spectrum, GRADIENT_STEPS, rate=rate)
    gaps = spectrum * path**2 / 2
    worst = float(np.max(rate * (np.arange(len(path))[:, None] + 1) ** 2 * gaps))
    yield decide.upper_bound(
        119.0,
        decide.Measurement(worst, bias=1e-9),
        delta=ctx.delta,
        quantity="s(k+1)²F/|e|²",
    )


DESCENT_STEPS = 10**6


@gradient_bound.control(
    "plain gradient descent, 10⁶ steps on sλ = 10⁻⁶",
    expected=float(DESCENT_STEPS * np.exp(-2)),
)
def _(ctx: Context) -> Evidence:
    """min|g|² = λ²(1 - sλ)^{2k} ~ e⁻²/(s k)²: the third power of k is out of reach."""
    curvature = 1 / DESCENT_STEPS
    scheme = OptaxStep(_sgd, {"rate": jnp.ones(())})
    training, start = Training(quadratic([curvature])), jnp.ones(1)
    run = iterate(scheme, training, start, h=1.0, steps=DESCENT_STEPS, save="last")
    square = (curvature * float(run.positions[-1][0])) ** 2
    value = square * (DESCENT_STEPS + 1) ** 3
    measured = decide.Measurement(value, bias=1e-5 * value)
    return decide.upper_bound(8568.0, measured, delta=ctx.delta)


# NAG-SC.

SMOOTHNESS = 1.0
CONVEXITIES = (0.25, 0.01, 0.0004)


def nag_sc_energy(
    path: np.ndarray,
    gaps: np.ndarray,
    gradients: np.ndarray,
    rate: float,
    strong: float,
) -> np.ndarray:
    """The discrete energy E_0, ..., E_{K-1} of a run, x* = 0.

    Args:
        path: x_0, ..., x_K (look-ahead), shape [K + 1, n].
        gaps: f - f* there, shape [K + 1].
        gradients: there, shape [K + 1, n].
        rate: s.
        strong: μ.
    """
    q = np.sqrt(strong * rate)
    velocity = np.diff(path, axis=0) / np.sqrt(rate)
    now = gradients[:-1]
    mixed = velocity + 2 * np.sqrt(strong) / (1 - q) * path[1:] + np.sqrt(rate) * now
    return (
        (1 + q) / (1 - q) * gaps[:-1]
        + np.sum(velocity**2, axis=1) / 4
        + np.sum(mixed**2, axis=1) / 4
        - rate * np.sum(now**2, axis=1) / (2 * (1 - q))
    )


def _quadratic_energies(
    strong: float, lowest: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each mode by itself, shape [K, modes]: energy, f - f*, and x; s = 1/(4L)."""
    spectrum = np.geomspace(lowest, SMOOTHNESS, 24)
    path = modes(_nag_sc, spectrum, 400, rate=0.25, strong=strong)
    gaps, gradients = spectrum * path**2 / 2, spectrum * path
    energies = [
        nag_sc_energy(path[:, [j]], gaps[:, j], gradients[:, [j]], 0.25, strong)
        for j in range(24)
    ]
    return np.stack(energies, axis=1), gaps, path


def _contraction(path: np.ndarray, strong: float) -> float:
    """(1 - r)/√(μs), r the contraction a step of the slowest mode.

    Steps of one mode are y_{k+2} = (r₁+r₂) y_{k+1} - r₁r₂ y_k, so that the Casoratian
    y_{k+1}² - y_k y_{k+2} shrinks by r₁r₂ a step: by r² for complex roots, and for the
    double root of λ = μ.
    """
    casoratian = path[1:-1] ** 2 - path[:-2] * path[2:]
    r = np.abs(casoratian[21] / casoratian[1]) ** (1 / 40)
    return float((1 - r.max()) / np.sqrt(strong * 0.25))


def _logistic_energies() -> tuple[np.ndarray, np.ndarray, float, float]:
    """The same on a logistic loss, with the distance of its start and √(μ/L)."""
    objective = ridged_logistic()
    facts: Any = objective.facts
    smooth, strong = float(facts.smoothness.value), float(objective.ridge)
    scheme = OptaxStep(
        _nag_sc, {"rate": jnp.asarray(0.25 / smooth), "strong": jnp.asarray(strong)}
    )
    start, least = jnp.array([2.0, -1.5, 1.0]), np.asarray(facts.minimiser.value)
    run = iterate(scheme, Training(objective), start, h=1.0, steps=60)
    points = -np.asarray(objective.data.tree)
    path = np.asarray(run.positions)
    margins = path @ points.T
    values = np.mean(np.logaddexp(0, margins), 1) + strong * np.sum(path**2, 1) / 2
    odds = 1 / (1 + np.exp(-margins))
    gradients = odds @ points / len(points) + strong * path
    gaps = values - float(facts.minimum.value)
    energies = nag_sc_energy(path - least, gaps, gradients, 0.25 / smooth, strong)
    distance = float(np.sum((path[0] - least) ** 2))
    return energies, gaps / (smooth * distance), distance, np.sqrt(strong / smooth)


def _ratio(gaps: np.ndarray, root: float, share: float = 1 / 12) -> float:
    """The largest F_k (1 + share √(μ/L))^k/(L|e|²), F_k in units of L|e|²."""
    k = np.arange(len(gaps)).reshape(-1, *[1] * (gaps.ndim - 1))
    return float(np.max(gaps * (1 + share * root) ** k))


@claim(
    "inertial.nag-sc-bound",
    title="NAG-SC with s = 1/(4L) contracts at least by 1 + √(μ/L)/12 a step",
    source=high_resolution("theorem 3 of version 3; its energy measured here"),
    statement=r"f(x_k)-f_*\le\frac{5L|x_0-x_*|^2}{(1+\frac1{12}\sqrt{\mu/L})^k},\qquad"
    r" E_{k+1}-E_k\le-\tfrac{\sqrt{\mu s}}6E_{k+1},\quad\text{quadratics: }"
    r" |x_k-x_*|\sim k(1-\sqrt{\mu s})^k \text{, at } \lambda=\mu",
    hypotheses=(
        r"$f$ $\mu$-strongly convex, $\nabla f$ $L$-Lipschitz",
        r"$s = 1/(4L)$",
        "tried: quadratic modes, μ/L = 1/4, 1/100, 1/2500, and a logistic loss",
        "on them F is nearest to the bound at k = 0, which decides no contraction",
    ),
    grade="measured",
    delta=1e-2,
    unit="L|x|²",
)
def nag_sc_bound(ctx: Context) -> Iterator[Evidence]:
    """Ratios to the bound, and of successive energies, the largest of each.

    The ratio to the bound is largest at k = 0 on λ = L, 1/2 whatever the contraction:
    so that one is measured by itself, beside 1 - √(μs) of the slowest mode.
    """
    gaps, energies, paths = [], [], []
    for strong in CONVEXITIES:
        energy, gap, path = _quadratic_energies(strong, strong)
        paths.append(path)
        gaps.append(_ratio(gap, np.sqrt(strong)))
        energies.append(_growth(energy, np.sqrt(strong)))
    energy, gap, _, root = _logistic_energies()
    gaps.append(_ratio(gap, root))
    energies.append(_growth(energy[:, None], root))
    yield decide.upper_bound(
        5.0,
        decide.Measurement(max(gaps), bias=1e-9),
        delta=ctx.delta,
        quantity="F_k(1+√(μ/L)/12)^k/(L|e|²)",
        data={"ratios": np.array(gaps)},
    )
    yield decide.upper_bound(
        -1 / 6,
        decide.Measurement(max(energies), bias=1e-6),
        delta=ctx.delta,
        quantity="(E_{k+1} - E_k)/(√(μs) E_{k+1})",
        data={"rates": np.array(energies)},
    )
    for path, strong in zip(paths, CONVEXITIES, strict=True):
        yield _contracted(path, strong, ctx.delta)


def _contracted(path: np.ndarray, strong: float, delta: float) -> Evidence:
    return decide.equal(
        1.0,
        decide.Measurement(_contraction(path, strong), bias=1e-8),
        delta=delta,
        quantity=f"(1 - contraction)/√(μs), μ/L = {strong}",
    )


def _growth(energies: np.ndarray, root: float) -> float:
    """The largest (E_{k+1} - E_k)/(q E_{k+1}), q = √(μs) = √(μ/L)/2, above rounding."""
    kept = energies[1:] > 1e-9 * energies[0]
    change = (energies[1:] - energies[:-1]) / (root / 2 * energies[1:])
    return float(np.max(change[kept]))


@nag_sc_bound.control("curvatures down to 10⁻⁴ where μ = 1/4 is declared")
def _(ctx: Context) -> Evidence:
    _, gaps, _ = _quadratic_energies(0.25, 1e-4)
    measured = decide.Measurement(_ratio(gaps, 0.5), bias=1e-6)
    return decide.upper_bound(5.0, measured, delta=ctx.delta)


@nag_sc_bound.control("the energy there")
def _(ctx: Context) -> Evidence:
    energies, _, _ = _quadratic_energies(0.25, 1e-4)
    measured = decide.Measurement(_growth(energies, 0.5), bias=1e-6)
    return decide.upper_bound(-1 / 6, measured, delta=ctx.delta)


@nag_sc_bound.control(
    "the contraction without the gradient ahead, at μ/L = 1/4",
    expected=float((1 - np.sqrt(0.6)) / 0.25),
)
def _(ctx: Context) -> Evidence:
    """Heavy ball of the same momentum m = 3/5 contracts by √m where it spirals."""
    path = modes(_heavy, np.geomspace(0.25, 1.0, 24), 400, rate=0.25, momentum=0.6)
    return _contracted(path, 0.25, ctx.delta)
