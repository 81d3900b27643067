"""The central limit theorem of fast switching: Gaussian fluctuations of size r^{-1/2}.

Both sides come from generators: the moments of the switching process on a ladder of
rates, and those of the diffusion `sde.fluctuations`, which knows no rate.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import sympy

from flows import quadratic_sum
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.papers import losing_momentum
from proofs_check.switching_quadratics import symbolic_process
from sde import (
    FluctuationMomentumState,
    FluctuationState,
    Moment,
    StochasticGradientMomentumProcess,
    StochasticGradientProcess,
    SwitchingMomentumState,
    SwitchingState,
    UniformIndex,
    fluctuations,
    moment_equations,
    switching_law,
    transient_switched_moments,
)

MOMENTUM = losing_momentum(
    "the limit of fast switching; its fluctuations are derived here"
)
CENTRES, CURVATURES = np.array([[-1.0], [0.5], [2.0]]), np.array([0.5, 1.0, 1.6])
START, TIME, MASS, FRICTION = 1.5, 1.2, 0.7, 0.9


@claim(
    "pdmp.fluctuations",
    title="√r times the distance to the averaged flow has the second moments of a "
    "Gaussian diffusion in the limit",
    source=MOMENTUM,
    statement=r"r\,\mathrm{Var}(x_t) \to \mathrm{Var}(Z_t),\quad "
    r"\alpha\,dZ = -\nabla^2F(\bar x)Z\,dt + \sqrt{2\Sigma(\bar x)}\,dB,"
    r"\quad \Sigma = \mathrm{Cov}_\pi\nabla f_I;\quad\text{with a mass}\ \dot Z = V,"
    r"\ m\,dV = -(\nabla^2F(\bar x)Z + \alpha V)\,dt + \sqrt{2\Sigma(\bar x)}\,dB",
    hypotheses=(
        r"$f_i(x) = \kappa_i(x - a_i)^2/2$ with different $\kappa_i > 0$",
        "the label starts in its stationary law; $r$ is its relaxation rate",
    ),
    grade="measured",
    delta=1e-3,
    quick_delta=1e-2,
    unit="r · variance over that of the limit",
)
def fluctuation_limit(ctx: Context) -> Evidence:
    """Away from the minimum, at a time before rest; the route adds a mass.

    r Var(x_t) against Var(Z_t) with Z_0 = 0; the ratio is extrapolated in 1/r.
    """
    return _ratio(ctx, momentum=False)


@fluctuation_limit.route("with momentum", grade="measured")
def _(ctx: Context) -> Evidence:
    """The same with a mass and a start at rest."""
    return _ratio(ctx, momentum=True)


def _process(r: float, momentum: bool) -> Any:
    losses = quadratic_sum(CENTRES, CURVATURES)
    index = UniformIndex(3, r * 2 / 3)
    if momentum:
        return StochasticGradientMomentumProcess(losses, index, MASS, FRICTION)
    return StochasticGradientProcess(losses, index, FRICTION)


def _ratio(ctx: Context, momentum: bool, factor: float = 1.0) -> Evidence:
    """The limit of r Var x/Var Z; `factor` is what r is mistaken by."""
    rates = 16.0 * 2.0 ** np.arange(ctx.choose(6, 9))
    x, v = jnp.full(1, START), jnp.zeros(1)
    label = jnp.asarray(0)
    start: Any = SwitchingState(x, label)
    if momentum:
        start = SwitchingMomentumState(x, v, label)

    def variance(r: float) -> float:
        found = transient_switched_moments(
            _process(r, momentum), start, [TIME], weights="stationary"
        )
        return float(found.covariance[0, 0, 0])

    limit, variances = ctx.compiled(  # once for the claim and its control
        f"variances, momentum {momentum}",
        lambda: (_limit(momentum), [variance(float(r)) for r in rates]),
    )
    scaled = np.array(variances) / limit
    h = 1 / (factor * rates)
    # the exponential of a matrix of norm r · time loses that many roundings
    floor = 1e-15 * rates * scaled
    return decide.leading_constant(1.0, h, scaled, 1.0, floor=floor, delta=ctx.delta)


def _limit(momentum: bool) -> float:
    """Var Z at the time, from the moment equations of the limit diffusion."""
    from scipy.linalg import expm

    zero, at = np.zeros(1), np.full(1, START)
    limit = fluctuations(_process(1.0, momentum))
    state: Any = FluctuationState(at, zero)
    if momentum:
        state = FluctuationMomentumState(at, zero, zero, zero)
    system = moment_equations(limit, 2, y=state)
    matrix, forcing = system.matrix.astype(float), system.forcing.astype(float)
    k = len(forcing)
    whole = np.zeros((k + 1, k + 1))
    whole[:k, :k], whole[:k, k] = matrix, forcing
    values = [START, *[0.0] * (len(system.names) - 1)]
    first = [np.prod(np.power(values, m.exponents)) for m in system.moments]
    after = expm(TIME * whole) @ np.array([*first, 1.0])
    squared = [0] * len(system.names)
    squared[2 if momentum else 1] = 2
    return float(after[system.row(*squared)])


@fluctuation_limit.control(
    "the clock's rate in place of the relaxation rate", expected=2 / 3
)
def _(ctx: Context) -> Evidence:
    return _ratio(ctx, momentum=False, factor=2 / 3)


@claim(
    "pdmp.fluctuations-gaussian",
    title="Stationary fluctuations of fast switching have the moments of a Gaussian",
    source=MOMENTUM,
    statement=r"\theta^{k/2}\,\mathrm E(x - \bar a)^k \to (k - 1)!!\,s^k\ (k\ "
    r"\text{even}),\ 0\ (k\ \text{odd}),\qquad \theta = \alpha r/\kappa \to \infty",
    hypotheses=(
        r"$f_i(x) = \kappa(x - a_i)^2/2$, no momentum",
        "three labels, uniform; moments up to $k = 4$, in full runs 6",
    ),
    grade="proved",
)
def fluctuations_gaussian(ctx: Context) -> Evidence:
    """Limits of the stationary law's moments, three centres a, b, -a - b."""
    return _moments_tend(ctx, lambda k: sympy.factorial2(k - 1))


def _moments_tend(ctx: Context, of: Any) -> Evidence:
    a, b = sympy.symbols("a b", real=True)
    process = symbolic_process(3, momentum=False, centres=[[a], [b], [-a - b]])
    law, theta = switching_law(process), sympy.Symbol("theta", positive=True)
    each = law.concentrations[0]
    s2 = (a**2 + b**2 + (a + b) ** 2) / 3
    found, wanted = [], []
    for k in range(1, ctx.choose(4, 6) + 1):
        moment: Any = sympy.together(law.moment(Moment((k,))))
        # all that depends on the parameters is c = θ/3
        moment = moment.subs(process.index.rate, _rate(process, each, theta))
        top, bottom = sympy.fraction(sympy.cancel(moment**2 * theta**k))
        found.append(sympy.limit(sympy.cancel(top / bottom), theta, sympy.oo))
        wanted.append((of(k) ** 2 * s2**k) if k % 2 == 0 else sympy.Integer(0))
    return identical(
        np.array(found, dtype=object),
        np.array(wanted, dtype=object),
        "lim θ^k (E(x - ā)^k)²",
    )


def _rate(process: Any, each: Any, theta: Any) -> Any:
    """The clock's rate γ at which N concentrations `each` sum to θ."""
    (rate,) = sympy.solve(3 * each - theta, process.index.rate)
    return rate


@fluctuations_gaussian.control("the moments of a Laplace law of this variance")
def _(ctx: Context) -> Evidence:
    half = sympy.Rational(1, 2)
    return _moments_tend(ctx, lambda k: sympy.factorial(k) * half ** (k // 2))
