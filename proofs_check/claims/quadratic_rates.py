"""Rates of gradient descent, heavy ball and Nesterov's momentum on quadratics."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import sympy

from discretize import OptaxStep, Training
from discretize.linearise import linearised_optimizer
from flows import iterate
from flows.problems import quadratic
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.claims.quadratic_stability import POLYAK, heavy_ball, nesterov, sgd
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical

LESSARD = Source(
    title="Analysis and Design of Optimization Algorithms via Integral Quadratic "
    "Constraints",
    authors="Laurent Lessard, Benjamin Recht and Andrew Packard",
    year=2016,
    arxiv="1408.3595",
    location="tuned rates on quadratics; derived here from optax's own step",
)
KAPPA = 100.0
THETA, SMALL, BEYOND = sympy.symbols("theta mu d", positive=True)
"""λ = μ + θ(L - μ); the roots of μ and of L - μ where those are what appears."""


def _coefficients(factory: Callable, hyper: dict[str, Any], curvature: Any) -> Any:
    """Coefficients of the characteristic polynomial of optax's traced step."""
    linear = linearised_optimizer(factory, hyper, curvature)
    assert linear.exact and len(linear.blocks) == 1  # a linear step, in one block
    return linear.blocks[0]


def _discriminant(coefficients: Any) -> Any:
    _, trace, determinant = coefficients
    return trace**2 - 4 * determinant


def _radii(factory: Callable, hyper: dict[str, float], curvatures: Any) -> np.ndarray:
    """Spectral radius of optax's step (momentum, x) ↦ next on λ x²/2, for each λ."""
    optimizer = factory(**{k: jnp.asarray(v) for k, v in hyper.items()})
    treedef = jax.tree.structure(optimizer.init(jnp.zeros(())))

    def step(z, curvature):
        state = jax.tree.unflatten(treedef, [z[0]])
        update, state = optimizer.update(curvature * z[1], state, z[1])
        moved: list[Any] = [*jax.tree.leaves(state), optax.apply_updates(z[1], update)]
        return jnp.stack(moved)

    matrices = jax.vmap(lambda c: jax.jacfwd(step)(jnp.zeros(2), c))
    spectra = np.linalg.eigvals(np.asarray(matrices(jnp.asarray(curvatures))))
    return np.max(np.abs(spectra), axis=1)


def _worst_radius(
    claimed: float, factory: Callable, hyper: dict[str, float], delta: float
) -> Evidence:
    """The largest radius over 41 curvatures in [1, κ], both ends among them.

    Rounding moves a double root by the square root of ulps, here up to 1e-7.
    """
    radii = _radii(factory, hyper, np.linspace(1.0, KAPPA, 41))
    worst = decide.Measurement(float(radii.max()), bias=1e-7)
    return decide.equal(
        claimed,
        worst,
        delta=delta,
        quantity="radius",
        route="eigenvalues",
        data={"radii": radii},
    )


# Gradient descent.


def _descent_identities(factor: Any = 1) -> Evidence:
    """The root is ρ(1 - 2θ) at the best step; at any, its ends average to ρ."""
    mu, d, eta = SMALL, BEYOND, sympy.Symbol("eta", positive=True)
    large = mu + d
    rate = factor * d / (large + mu)
    best = {"eta": 2 / (large + mu)}

    def root(hyper, curvature):
        return -_coefficients(sgd, hyper, curvature)[1]

    slow, fast = (root({"eta": eta}, end) for end in (mu, large))
    pairs = [
        root(best, mu + THETA * d) - rate * (1 - 2 * THETA),
        (large * slow - mu * fast) / (large + mu) - rate,
    ]
    return identical(
        pairs, [sympy.Integer(0)] * 2, "root = ρ(1 - 2θ); no step is better"
    )


@claim(
    "gradient_flow.optimal-gradient-descent",
    title="The best constant step of gradient descent contracts by (κ - 1)/(κ + 1)",
    source=POLYAK,
    statement=r"\min_\eta \max_{\mu\le\lambda\le L} |1-\eta\lambda| ="
    r" \frac{\kappa-1}{\kappa+1},\qquad \eta = \frac{2}{L+\mu},\ \kappa = L/\mu",
    hypotheses=(r"$f$ quadratic with spectrum in $[\mu, L]$",),
    grade="proved",
    delta=1e-6,
    unit="per step",
)
def optimal_descent(ctx: Context) -> Evidence:
    """From optax's traced step; μ, L and the place of λ are symbols."""
    return _descent_identities()


@optimal_descent.control("rate times 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    return _descent_identities(sympy.Rational(1001, 1000))


def _sgd(hyper):
    return sgd(hyper["eta"])


def _contraction(ctx: Context, eta: float) -> Evidence:
    """Of |x| from step n to 2n, for n = 64, 128, 256: the other modes die out."""
    rates, spectrum = [], np.linspace(1.0, KAPPA, 12)
    scheme = OptaxStep(_sgd, {"eta": jnp.asarray(eta)})
    start = jnp.ones(12)
    run = iterate(scheme, Training(quadratic(spectrum)), start, h=1.0, steps=512)
    size = np.linalg.norm(np.asarray(run.positions), axis=1)
    for n in (64, 128, 256):
        rates.append(float((size[2 * n] / size[n]) ** (1 / n)))
    claimed = (KAPPA - 1) / (KAPPA + 1)
    return decide.equal(
        claimed, decide.ladder(rates), delta=ctx.delta, quantity="contraction"
    )


@optimal_descent.route("optax.sgd, κ = 100", grade="measured")
def _(ctx: Context) -> Evidence:
    return _contraction(ctx, 2 / (KAPPA + 1))


@optimal_descent.control("learning rate 1/L, by optax.sgd", expected=1 - 1 / KAPPA)
def _(ctx: Context) -> Evidence:
    return _contraction(ctx, 1 / KAPPA)


# Heavy ball.


def _heavy_ball_identities(bend: Any = 1) -> Evidence:
    """Determinant β, discriminant -16βθ(1 - θ) <= 0: every root has modulus √β."""
    small, large = SMALL, SMALL + BEYOND  # √μ and √L
    beta = bend * ((large - small) / (large + small)) ** 2
    hyper = {"eta": 4 / (large + small) ** 2, "beta": beta}
    curvature = small**2 + THETA * (large**2 - small**2)
    found = _coefficients(heavy_ball, hyper, curvature)
    pairs = [
        found[2] - beta,
        _discriminant(found) + 16 * beta * THETA * (1 - THETA),
    ]
    return identical(pairs, [sympy.Integer(0)] * 2, "|roots|² = β for λ in [μ, L]")


def heavy_ball_tuning(kappa: float = KAPPA) -> dict[str, float]:
    """Polyak's η and β for μ = 1 and L = κ."""
    root = math.sqrt(kappa)
    return {"eta": 4 / (root + 1) ** 2, "beta": ((root - 1) / (root + 1)) ** 2}


@claim(
    "gradient_flow.optimal-heavy-ball",
    title="Polyak's heavy ball has the spectral radius (√κ - 1)/(√κ + 1) = √β",
    source=POLYAK,
    statement=r"\max_{\mu\le\lambda\le L}\rho(\lambda) = \sqrt\beta ="
    r" \frac{\sqrt\kappa-1}{\sqrt\kappa+1},\qquad"
    r" \eta = \frac{4}{(\sqrt L+\sqrt\mu)^2}",
    hypotheses=(r"$f$ quadratic with spectrum in $[\mu, L]$",),
    grade="proved",
    delta=1e-6,
    unit="per step",
)
def optimal_heavy_ball(ctx: Context) -> Evidence:
    """From optax's traced step; μ, L and the place of λ are symbols."""
    return _heavy_ball_identities()


@optimal_heavy_ball.control("β times 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    return _heavy_ball_identities(sympy.Rational(1001, 1000))


@optimal_heavy_ball.route("eigenvalues of optax's step, κ = 100", grade="measured")
def _(ctx: Context) -> Evidence:
    hyper = heavy_ball_tuning()
    return _worst_radius(math.sqrt(hyper["beta"]), heavy_ball, hyper, ctx.delta)


def larger_root(trace: float, determinant: float) -> float:
    """The larger root of z² - trace z + determinant, both real."""
    return (trace + math.sqrt(trace**2 - 4 * determinant)) / 2


def _less_momentum() -> dict[str, float]:
    hyper = heavy_ball_tuning()
    return {**hyper, "beta": 0.9 * hyper["beta"]}


def fast_root() -> float:
    """What 0.9 β leaves at λ = L: a real root beyond -1, as η L > 2(1 + 0.9 β)."""
    hyper = _less_momentum()
    return larger_root(hyper["eta"] * KAPPA - 1 - hyper["beta"], hyper["beta"])


@optimal_heavy_ball.control("momentum 0.9 β, by eigenvalues", expected=fast_root())
def _(ctx: Context) -> Evidence:
    claimed = math.sqrt(heavy_ball_tuning()["beta"])
    return _worst_radius(claimed, heavy_ball, _less_momentum(), ctx.delta)


# Nesterov's momentum.


def _nesterov_identities(bend: Any = 1) -> Evidence:
    """Determinant ρ²(1 - θ), discriminant -4ρ²θ(1 - θ) <= 0: moduli ρ√(1 - θ).

    Here θ = 0 is λ = μ: 1 - λ/L = (1 - θ)(1 - 1/κ).
    """
    root = 1 + BEYOND  # √κ, with L = 1
    beta = bend * (root - 1) / (root + 1)
    rate = 1 - 1 / root
    share = (1 - THETA) * (1 - 1 / root**2)
    hyper = {"eta": sympy.Integer(1), "beta": beta}
    found = _coefficients(nesterov, hyper, 1 - share)
    pairs = [
        found[2] - rate**2 * (1 - THETA),
        _discriminant(found) + 4 * rate**2 * THETA * (1 - THETA),
    ]
    return identical(pairs, [sympy.Integer(0)] * 2, "|roots|² = (1 - 1/√κ)²(1 - θ)")


def nesterov_tuning(kappa: float = KAPPA) -> dict[str, float]:
    """Step 1/L and momentum (√κ - 1)/(√κ + 1), for μ = 1 and L = κ."""
    root = math.sqrt(kappa)
    return {"eta": 1 / kappa, "beta": (root - 1) / (root + 1)}


@claim(
    "gradient_flow.nesterov-rate",
    title="Nesterov's constant momentum has the spectral radius 1 - 1/√κ",
    source=LESSARD,
    statement=r"\max_{\mu\le\lambda\le L}\rho(\lambda) = 1-\frac{1}{\sqrt\kappa},\qquad"
    r" \eta = \frac1L,\ \beta = \frac{\sqrt\kappa-1}{\sqrt\kappa+1}",
    hypotheses=(r"$f$ quadratic with spectrum in $[\mu, L]$",),
    grade="proved",
    delta=1e-6,
    unit="per step",
)
def nesterov_rate(ctx: Context) -> Evidence:
    """From optax's traced step; κ and the place of λ are symbols."""
    return _nesterov_identities()


@nesterov_rate.control("β times 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    return _nesterov_identities(sympy.Rational(1001, 1000))


@nesterov_rate.route("eigenvalues of optax's step, κ = 100", grade="measured")
def _(ctx: Context) -> Evidence:
    claimed = 1 - 1 / math.sqrt(KAPPA)
    return _worst_radius(claimed, nesterov, nesterov_tuning(), ctx.delta)


def slow_nesterov_root() -> float:
    """What momentum 0.8 leaves at λ = μ = 1: a real root."""
    left = 1 - 1 / KAPPA
    return larger_root(1.8 * left, 0.8 * left)


@nesterov_rate.control("momentum 0.8, by eigenvalues", expected=slow_nesterov_root())
def _(ctx: Context) -> Evidence:
    hyper = {**nesterov_tuning(), "beta": 0.8}
    return _worst_radius(1 - 1 / math.sqrt(KAPPA), nesterov, hyper, ctx.delta)
