"""Where switching blows up: heavy tails without momentum, instability with it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import sympy

from flows import quadratic_sum
from flows.symbolic import exactly, symbol_vector
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.decide import GrowthRate
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.papers import losing_momentum, stochastic_gradient_process
from proofs_check.switching_quadratics import (
    example_state,
    forward_defects,
    symbolic_process,
)
from sde import (
    ExactJumps,
    StochasticGradientMomentumProcess,
    StochasticGradientProcess,
    SwitchingMomentumState,
    SwitchingState,
    UniformIndex,
    moment_abscissa,
    moment_equations,
    simulate,
    tail_index,
    transient_switched_moments,
)

LATZ = stochastic_gradient_process(
    "the process under a condition on the mean curvature; the constants derived here"
)
MOMENTUM = losing_momentum("the process; its mean-square stability derived here")
BEND, GROWTH = 2.0, 1.0
"""κ₁ and -κ₂ of the numerical checks, α = 1."""


# One negative curvature: heavy tails.


def _power(process: Any, p: Any, x: Any) -> Any:
    """L(x^p 1{label = j})/x^p at label i, as a matrix [j, i]; x > 0."""

    def phi(j: int) -> Any:
        def of(t: Any, y: Any) -> Any:
            del t
            power = jnp.exp(p * jnp.log(y.position[0]))
            return jnp.where(y.label == j, power, 0.0)

        return of

    states = [SwitchingState(x, i) for i in (0, 1)]
    here = jnp.exp(p * jnp.log(x[0]))
    return [[process.generator(phi(j))(0.0, y) / here for y in states] for j in (0, 1)]


def _two_signs(convention: str, centres: Any) -> tuple[Any, ...]:
    k, g = sympy.symbols("k g", positive=True)
    process = symbolic_process(
        2, momentum=False, convention=convention, centres=centres, curvatures=[k, -g]
    )
    return process, k, g, process.friction, process.index.rate


def _determinant(convention: str) -> Evidence:
    process, k, g, alpha, gamma = _two_signs(convention, [[0], [0]])
    p = sympy.Symbol("p", positive=True)
    x = np.array([sympy.Symbol("x", positive=True)], dtype=object)
    m = exactly(_power, process, p, x)
    found = m[0][0] * m[1][1] - m[0][1] * m[1][0]
    trace = m[0][0] + m[1][1]
    critical = p * k * g / (alpha * (k - g))
    left = np.array([sympy.expand(found), sympy.expand(trace)], dtype=object)
    right = [p * (k - g) / alpha * (gamma - critical), -2 * gamma - p * (k - g) / alpha]
    return identical(
        left, np.array(right, dtype=object), "trace and determinant on |x|^p 1_i"
    )


@claim(
    "pdmp.tail-index",
    title="The moments up to p* forget their start although one curvature is negative",
    source=LATZ,
    statement=r"\text{the growth exponent of}\ \mathbb E|X_t - X'_t|^p\ \text{is"
    r" negative} \iff \gamma > \frac{-p\,\kappa_1\kappa_2}"
    r"{\alpha(\kappa_1 + \kappa_2)} \iff p < p^* = -\alpha\gamma\,"
    r"\frac{\kappa_1 + \kappa_2}{\kappa_1\kappa_2}",
    hypotheses=(
        r"$f_i = \kappa_i(x - a_i)^2/2$, $\kappa_1 > 0 > \kappa_2$",
        "two paths $X, X'$ on one path of the label, in one dimension",
        r"$\kappa_1 + \kappa_2 > 0$",
        "two labels, never the same again",
    ),
    grade="proved",
    delta=1e-6,
    quick_delta=1e-4,
    unit="rate γ of the clock in 1/time",
)
def tail(ctx: Context) -> Evidence:
    """The generator on |x|^p 1_i, p a symbol: a 2 × 2 matrix.

    The difference of two paths follows the losses with both centres at 0. The trace is
    negative, so both eigenvalues are iff the determinant is positive. That E|X|^p is
    finite under the stationary law for p < p* alone is read off the density of
    `pdmp.heavy-tailed-law`, which falls like x^{-1 - p*}.
    """
    return _determinant("never_repeat")


@tail.control("fresh draws, which repeat half of the time")
def _(ctx: Context) -> Evidence:
    return _determinant("fresh_draw")


def _mixed(rate: float, curvatures: Any = (BEND, -GROWTH)) -> StochasticGradientProcess:
    losses = quadratic_sum([[0.0], [-1.0]], np.array(curvatures))
    return StochasticGradientProcess(losses, UniformIndex(2, rate))


@tail.route("spectral abscissa", grade="measured")
def _(ctx: Context) -> Any:
    """The abscissa of the operator on moments changes its sign there, p = 2 and 4."""
    for p in (2, 4):
        critical = p * BEND * GROWTH / (BEND - GROWTH)
        rates = [
            GrowthRate(g, float(moment_abscissa(_mixed(g), p)), bias=1e-12)
            for g in decide.bracket_ends(critical, 0.9 * ctx.delta)
        ]
        yield decide.threshold(
            critical, rates, delta=ctx.delta, rising=False, quantity=f"γ for p = {p}"
        )


@tail.route("root of the growth exponent", grade="measured")
def _(ctx: Context) -> Evidence:
    """The solver's p*, a root of the spectral abscissa of Q - p diag(κ)/α."""
    rate = 2.5
    found = float(tail_index(_mixed(rate))[0])
    claimed = rate * (BEND - GROWTH) / (BEND * GROWTH)
    return decide.equal(
        claimed,
        decide.ladder([found] * 3, condition=10.0),
        delta=ctx.delta,
        quantity="p*",
    )


# The law itself.


def _heavy(convention: str) -> Evidence:
    """The two densities in the forward equation, x > 0."""
    process, k, g, alpha, gamma = _two_signs(convention, [[0], [-1]])
    x = symbol_vector("x", 1, positive=True)
    first, last = gamma * alpha / k, gamma * alpha / g  # a, and p* = last - first
    density = x[0] ** (first - 1) * (1 + x[0]) ** (-last)
    # B(a, p*)/B(a + 1, p*) = (a + p*)/a = k/g
    pair = [density, density * (k / g) * x[0] / (1 + x[0])]
    found = forward_defects(process, x, pair)
    return identical(found, np.zeros(2, dtype=object), "forward equation")


@claim(
    "pdmp.heavy-tailed-law",
    title="With one negative curvature the law is a mixture of two beta primes",
    source=LATZ,
    statement=r"\frac{X - a_1}{a_1 - a_2}\Big|\,I \sim \beta'\bigl(\tfrac{\alpha\gamma}"
    r"{\kappa_1} + 1_{I = 2},\; p^*\bigr),\quad p^* = \frac{\alpha\gamma}{|\kappa_2|}"
    r" - \frac{\alpha\gamma}{\kappa_1}",
    hypotheses=(
        r"$\kappa_1 > 0 > \kappa_2$, $\kappa_1 + \kappa_2 > 0$, $a_1 > a_2$",
        "two labels, never the same again",
    ),
    grade="proved",
    delta=0.03,
    unit="sup distance of distribution functions",
)
def heavy_tailed_law(ctx: Context) -> Evidence:
    """The densities solve the forward equation; centres 0 and -1, the rest symbols.

    No mass flows through the ends: x p_i -> 0 at 0, and at infinity for p* > 0.
    """
    return _heavy("never_repeat")


@heavy_tailed_law.control("fresh draws, which repeat half of the time")
def _(ctx: Context) -> Evidence:
    return _heavy("fresh_draw")


@heavy_tailed_law.route("sampled", grade="estimated")
def _(ctx: Context) -> Evidence:
    """Final states at rate γ = 6 (p* = 3) of paths started at 1.

    Two paths with one index path come nearer at the rate 0.315 in the mean, minus the
    growth exponent at p = 1: at time 80 the start has left less than the bias below.
    """
    from scipy.stats import betaprime

    rate, bias = 6.0, 1e-6
    n = decide.law_sample_size(ctx.delta - 2 * bias)
    start = SwitchingState(np.ones((n, 1)), np.arange(n) % 2)
    key = int(ctx.rng("key").integers(2**31))
    run = simulate(
        _mixed(rate), start, t1=80.0, scheme=ExactJumps(), h=80.0, key=key, paths=n
    )
    a, p = rate / BEND, rate / GROWTH - rate / BEND
    return decide.law(
        "two beta primes",
        np.asarray(run.final.position)[:, 0],
        lambda x: (betaprime.cdf(x, a, p) + betaprime.cdf(x, a + 1, p)) / 2,
        delta=ctx.delta,
        bias=bias,
        data={"xlabel": "position x"},
    )


# Momentum: mean-square instability although every loss is convex.


def critical_spread(kappa: Any, mass: Any, friction: Any, r: Any) -> Any:
    """σ² at which the mean square of the process with momentum begins to grow."""
    top = friction * kappa * (friction + mass * r)
    top = top * (2 * friction * r + 4 * kappa + mass * r**2)
    return top / (2 * friction + mass * r) ** 2


def _stability(convention: str) -> Evidence:
    kappa, r = sympy.symbols("kappa r", positive=True)
    sigma = sympy.Symbol("sigma", positive=True)
    process = symbolic_process(
        2,
        momentum=True,
        convention=convention,
        centres=[[0], [0]],
        curvatures=[kappa + sigma, kappa - sigma],
        rate=r / 2,
    )
    system = moment_equations(process, 2, y=example_state(process))
    rows = [k for k, m in enumerate(system.moments) if m.degree == 2]
    m, alpha = process.mass, process.friction
    block = sympy.Matrix(system.matrix[np.ix_(rows, rows)])
    determinant = block.det(method="berkowitz")
    claimed = critical_spread(kappa, m, alpha, r) - sigma**2
    claimed = 4 * (2 * alpha + m * r) ** 2 / m**4 * claimed
    return identical(determinant, claimed, "det = 4(2α + mr)²(σ_c² - σ²)/m⁴")


@claim(
    "pdmp.momentum-destabilises",
    title="With momentum, switching between two convex losses can blow up",
    source=MOMENTUM,
    statement=r"\mathbb E(x^2 + v^2) \to 0 \iff \sigma^2 < \sigma_c^2 = \frac{\alpha"
    r"\bar\kappa(\alpha + mr)(2\alpha r + 4\bar\kappa + mr^2)}{(2\alpha + mr)^2}",
    hypotheses=(
        r"$f_{1,2} = (\bar\kappa \pm \sigma)x^2/2$, $\bar\kappa, \alpha, m, r > 0$",
        "two labels",
    ),
    grade="proved",
    delta=1e-6,
    quick_delta=1e-4,
    unit="curvature σ",
    parameters={"kappa": 1.0, "mass": 1.0, "friction": 0.1},
)
def destabilises(ctx: Context) -> Evidence:
    """The determinant of the six second moments' matrix, all parameters symbols.

    Why its sign decides: the matrix generates a flow that keeps positive semidefinite
    pairs (E zzᵀ1_i), so its spectral abscissa is an eigenvalue (Krein and Rutman), real
    and continuous in σ. It is negative at σ = 0 and can reach 0 only where the
    determinant vanishes: at σ_c alone. Beyond, the determinant of the six is negative,
    so one eigenvalue is positive.
    """
    return _stability("never_repeat")


@destabilises.control("fresh draws, whose relaxation rate is half of it")
def _(ctx: Context) -> Evidence:
    return _stability("fresh_draw")


def pair_process(sigma: Any, r: Any, parameters: Any, momentum: bool = True) -> Any:
    """Two wells of curvature κ̄ ± σ at 0, with relaxation rate r."""
    kappa = parameters["kappa"]
    losses = quadratic_sum([[0.0], [0.0]], np.array([kappa + sigma, kappa - sigma]))
    index = UniformIndex(2, r / 2)
    friction = parameters["friction"]
    if not momentum:
        return StochasticGradientProcess(losses, index, friction)
    return StochasticGradientMomentumProcess(
        losses, index, parameters["mass"], friction
    )


def _threshold(ctx: Context, r: float, momentum: bool = True) -> Evidence:
    kappa, m, alpha = (ctx.parameters[n] for n in ("kappa", "mass", "friction"))
    critical = float(np.sqrt(critical_spread(kappa, m, alpha, r)))
    rates = [
        GrowthRate(
            s,
            float(moment_abscissa(pair_process(s, r, ctx.parameters, momentum))),
            bias=1e-12,
        )
        for s in decide.bracket_ends(critical, 0.9 * ctx.delta)
    ]
    return decide.threshold(
        critical, rates, delta=ctx.delta, quantity=f"σ at r = {r:g}"
    )


@destabilises.control("the same losses without momentum")
def _(ctx: Context) -> Evidence:
    return _threshold(ctx, 2.0, momentum=False)


@destabilises.route("spectral abscissa", grade="measured")
def _(ctx: Context) -> Any:
    """The growth rate of second moments changes its sign at σ_c, three rates."""
    for r in (0.5, 2.0, 20.0):
        yield _threshold(ctx, r)


@destabilises.route("sampled", grade="estimated")
def _(ctx: Context) -> Evidence:
    """E x² at time 4 where it grows (σ = 0.9, r = 2); |x| is bounded, so all moments.

    Longer runs sample ever rarer paths: at time 8 the mean is three medians.
    """
    process = pair_process(0.9, 2.0, ctx.parameters)
    start = SwitchingMomentumState(jnp.ones(1), jnp.zeros(1), jnp.zeros((), int))
    claimed = transient_switched_moments(process, start, [4.0], weights="stationary")

    def squares(seed: int, n: int) -> Any:
        labels = np.random.default_rng(seed).integers(0, 2, n)
        many = jax.tree.map(lambda a: jnp.broadcast_to(a, (n, *a.shape)), start)
        run = simulate(
            process,
            many._replace(label=jnp.asarray(labels)),
            t1=4.0,
            scheme=ExactJumps(),
            h=4.0,
            key=seed,
            paths=n,
        )
        return np.asarray(run.final.position)[:, 0] ** 2

    value = float(claimed.second[0, 0, 0])
    return ctx.mean(squares, value, delta=0.03, quantity="E x² at t = 4, sampled")
