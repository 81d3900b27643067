"""RMSProp and Adam as diffusions: weak orders, without sampling."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from discretize import (
    FiniteLaw,
    PolynomialGrid,
    StochasticAdam,
    StochasticRMSProp,
    chain_expectation,
)
from discretize.weak_operator import FOUR_VALUES
from flows import Scheme
from flows.adaptive import AdamState, RMSPropState
from flows.dynamics import parameter
from flows.problems import quadratic
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.papers import adaptive_sdes
from sde import AdamSDE, FactorNoise, RMSPropSDE, gaussian_moments

RMSPROP = (
    r"dX = -P^{-1}(\nabla f\,dt + \sigma_0\Sigma^{1/2}dB),\quad "
    r"du = c_2(\operatorname{diag}\Sigma - u)\,dt,\quad "
    r"P = \sigma_0\sqrt u + \epsilon_0"
)
ADAM = (
    r"dX = -\tfrac{\sqrt{q_2}}{q_1}P^{-1}m\,dt,\quad "
    r"dm = c_1(\nabla f - m)\,dt + \sigma_0c_1\Sigma^{1/2}dB,\quad "
    r"du = c_2(\operatorname{diag}\Sigma - u)\,dt"
)
SCALES = (
    r"$\sigma_0 = \sigma\eta$, $\epsilon_0 = \epsilon\eta$, "
    r"$c_i = (1-\beta_i)/\eta^2$ fixed, $t = k\eta^2$"
)
UNIT = "order in η (time unit: η², a step)"


class Constant(eqx.Module):
    """A constant factor s, one symbol."""

    s: Any = eqx.field(converter=parameter)

    def __call__(self, x):
        """S, whatever x."""
        del x
        return self.s


# Weak orders over a fixed time: f = x²/2, Σ = 1.


class Chain(NamedTuple):
    """A scheme on its diffusion over a time, and the grid that carries functions.

    Attributes:
        scheme: the optimiser.
        model: its diffusion, at fixed scales.
        start: state.
        t0: time of the start.
        time: how long (units of η²).
        grid: of the state's coordinates.
    """

    scheme: Scheme
    model: Any
    start: Any
    t0: float
    time: float
    grid: PolynomialGrid

    @property
    def autonomous(self) -> bool:
        """Whether steps do not depend on time."""
        return not getattr(self.model, "bias_correction", False)


SKEWED = FiniteLaw((-0.5, 2.0), (0.8, 0.2))
"""Mean 0, variance 1, third moment 1.5."""
WIDE, NARROW = (-2.0, 2.0), (0.6, 1.3)
"""Where x and m, and where u = v/σ² live."""


def unit_noise() -> FactorNoise:
    """Noise of covariance 1."""
    return FactorNoise(Constant(1.0))


def rmsprop_chain(second_moment: Any = "old", **model) -> Chain:
    """RMSProp with σ₀ = 0.5, c₂ = 0.8, ε₀ = 0.1 from x = 1, u = 0.8 over a time 2."""
    scales = {"sigma0": 0.5, "c2": 0.8, "eps0": 0.1, **model}
    return Chain(
        StochasticRMSProp(second_moment),
        RMSPropSDE(quadratic([1.0]), unit_noise(), **scales),
        RMSPropState(jnp.array([1.0]), jnp.array([0.8])),
        0.0,
        2.0,
        PolynomialGrid((WIDE, NARROW), (8, 13)),
    )


def adam_chain(corrected: bool) -> Chain:
    """Adam with c₁ = 2 too, from m = -1/2: over [0, 1/2]; corrected, [1/2, 1]."""
    values = {"sigma0": 0.5, "c1": 2.0, "c2": 0.8, "eps0": 0.1}
    scales = {name: jnp.asarray(value) for name, value in values.items()}
    return Chain(
        StochasticAdam(),
        AdamSDE(quadratic([1.0]), unit_noise(), **scales, bias_correction=corrected),
        AdamState(jnp.array([1.0]), jnp.array([-0.5]), jnp.array([0.8])),
        0.5 if corrected else 0.0,
        0.5,
        PolynomialGrid((WIDE, WIDE, NARROW), (6, 6, 9)),
    )


def coarser(chain: Chain) -> Chain:
    """The chain on a grid of two degrees less in each coordinate."""
    degrees = tuple(d - 2 for d in chain.grid.degrees)
    return chain._replace(grid=PolynomialGrid(chain.grid.box, degrees))


def expected(chain: Chain, steps: int, law: FiniteLaw, phi: Callable) -> Any:
    """E φ of the optimiser after its time, in `steps` steps."""
    return chain_expectation(
        chain.grid,
        chain.scheme,
        chain.model,
        chain.start,
        phi,
        h=chain.time / steps,
        steps=steps,
        law=law,
        t0=chain.t0,
        autonomous=chain.autonomous,
    )


def second_moments(points):
    """x, and x²."""
    x = points[:, 0]
    return np.stack([x, x**2], axis=1)


def diffusion_moments(chain: Chain) -> Any:
    """(E x, E x²) of the diffusion at the end of the time."""
    end = [chain.t0 + chain.time]
    mean, covariance = gaussian_moments(chain.model, chain.start, end, t0=chain.t0)
    return np.array([mean[0, 0], mean[0, 0] ** 2 + covariance[0, 0, 0]])


def _weak_order(
    chain: Chain, which: int, law: FiniteLaw = FOUR_VALUES, first=50, q=2, levels=6
) -> Evidence:
    """The order in η: steps η² halve, so η shrinks by √2, and errors go by η^q.

    The floor of a level is what a coarser grid changes there.
    """
    steps = first * 2 ** np.arange(levels)

    def ends(chain):
        return np.array(
            [expected(chain, int(n), law, second_moments)[which] for n in steps]
        )

    found = ends(chain)
    return decide.order(
        2,
        np.sqrt(chain.time / steps),
        np.abs(found - diffusion_moments(chain)[which]),
        floor=np.abs(found - ends(coarser(chain))) + 1e-12,
        q=q,
        quantity=("E x", "E x²")[which],
    )


QUADRATIC = (
    r"$f = x^2/2$, $\Sigma = 1$, $\sigma_0 = 0.5$, $c_2 = 0.8$, $\epsilon_0 = 0.1$"
)
LAW = r"noise of four values, mean 0, variance 1, $E z^3 = 0$, $z^2$ not constant"


@claim(
    "sde_models.rmsprop-order",
    title="RMSProp follows its diffusion in law to order η²",
    source=adaptive_sdes("weak approximation by the RMSProp diffusion"),
    statement=RMSPROP + r":\quad "
    r"\mathbb{E}\,\varphi(x_k, u_k) - \mathbb{E}\,\varphi(X, u)(k\eta^2) = O(\eta^2)",
    hypotheses=(SCALES, QUADRATIC, r"$T = 2$", LAW),
    grade="measured",
    delta=0.75,
    unit=UNIT,
)
def rmsprop_order(ctx: Context) -> Iterator[Evidence]:
    """E x² (and E x at effort full) by powers of the chain's operator on a grid."""
    yield _weak_order(rmsprop_chain(), 1)
    if ctx.full:
        yield _weak_order(rmsprop_chain(), 0)


@rmsprop_order.route("the new second moment in the denominator", grade="measured")
def _(ctx: Context) -> Iterator[Evidence]:
    """As optax has it; its error in E x changes sign on coarse steps."""
    for which in (0, 1):
        yield _weak_order(rmsprop_chain("new"), which, first=200, levels=7)


@rmsprop_order.control("skewed noise, E z³ = 3/2", expected=1.0)
def _(ctx: Context) -> Evidence:
    return _weak_order(rmsprop_chain(), 1, SKEWED, first=200, q=1, levels=7)


@rmsprop_order.control("β kept fixed: c₂ grows like 1/η²", expected=0.0)
def _(ctx: Context) -> Evidence:
    steps, chain = 400 * 2 ** np.arange(6), rmsprop_chain()
    exact, errors = diffusion_moments(chain)[1], []
    for n in steps:
        eta = np.sqrt(2.0 / n)
        fixed = rmsprop_chain(c2=0.1 / eta**2)  # β = 0.9
        errors.append(expected(fixed, int(n), FOUR_VALUES, second_moments)[1] - exact)
    eta = np.sqrt(2.0 / steps)
    return decide.order(2, eta, np.abs(errors), floor=1e-10, q=2)


@claim(
    "sde_models.adam-order",
    title="Adam follows its diffusion in law to order η²",
    source=adaptive_sdes("weak approximation by the Adam diffusion"),
    statement=ADAM + r":\quad "
    r"\mathbb{E}\,\varphi(x_k) - \mathbb{E}\,\varphi(X(k\eta^2)) = O(\eta^2),"
    r"\quad t \ge t_0 > 0",
    hypotheses=(
        SCALES,
        QUADRATIC + r", $c_1 = 2$",
        LAW,
        r"over a time $1/2$: without bias correction from $t = 0$; with it from "
        r"$t_0 = 1/2$ (effort full)",
    ),
    grade="measured",
    delta=0.75,
    unit=UNIT,
)
def adam_order(ctx: Context) -> Iterator[Evidence]:
    """E x² by powers of the chain's operator on a grid of (x, m, u)."""
    yield _weak_order(adam_chain(False), 1, first=40, levels=5)
    if ctx.full:
        yield _weak_order(adam_chain(True), 1, first=40, levels=5)


@adam_order.control("skewed noise, E z³ = 3/2", expected=1.0)
def _(ctx: Context) -> Evidence:
    return _weak_order(adam_chain(False), 1, SKEWED, first=160, q=1, levels=7)
