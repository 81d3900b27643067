"""RMSProp and Adam and their diffusions over one step, symbolically."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import jax.numpy as jnp
import numpy as np

from discretize import StochasticAdam, StochasticRMSProp, local_defect
from flows import Scheme
from flows.adaptive import AdamState, RMSPropState
from flows.problems import taylor_polynomial
from flows.symbolic import symbol_vector, symbols_like
from proofs_check.claim import claim
from proofs_check.claims.sde_adaptive import ADAM, RMSPROP, SCALES, Constant
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.papers import adaptive_sdes
from sde import AdamSDE, Diffusion, FactorNoise, RMSPropSDE


class _Skewed(FactorNoise):
    """Drawn with z = (ξ + a(ξ² - 1))/√(1 + 2a²): mean 0, variance 1, E z³ ≠ 0."""

    def drawn_gradient(self, objective, x, draw):
        """∇f(x) + s z, with a = 1/2."""
        z = (draw + (draw**2 - 1) / 2) * jnp.sqrt(2 / 3)
        return objective.gradient(x) + self.noise(x, z)


def _one_step(scheme: Scheme, model: Diffusion, y: Any, names, t: Any = 0) -> Evidence:
    """E of products of coordinates after one step of time h, through h^{3/2}."""

    def product(chosen):
        def phi(t, y):
            out = jnp.ones(())
            for name in chosen:
                out = out * getattr(y, name)[0]
            return out

        return phi

    found = []
    for chosen in names:
        defect = local_defect(scheme, model, product(chosen), y, Fraction(3, 2), t)
        found += [*defect.values()] or [0]
    zeros = np.zeros(len(found), dtype=int).astype(object)
    return identical(
        np.array(found, dtype=object) + zeros,
        zeros,
        f"{len(names)} moments of a step, through h^3/2",
    )


X, M, U = "position", "first_moment", "second_moment"
FIRST = ((X,), (X, X), (X, U))
MORE = ((U,), (U, U), (X, X, X), (X, X, U), (X, U, U), (U, U, U))


def _rmsprop(noise: Any = FactorNoise, kind: Any = RMSPropSDE):
    model = kind(taylor_polynomial(1, 2), noise(Constant(1.0)), 0.5, 0.8, 0.1)
    y = RMSPropState(symbol_vector("x", 1), symbol_vector("u", 1, positive=True))
    return symbols_like(model), y


@claim(
    "sde_models.rmsprop-step",
    title="One step of RMSProp and its diffusion agree in moments to O(η⁴)",
    source=adaptive_sdes("the RMSProp diffusion; the moments are derived here"),
    statement=RMSPROP + r":\quad \text{moments of a step agree to } O(\eta^4)",
    hypotheses=(
        SCALES,
        r"$f$ a generic quadratic, $\Sigma$ a generic constant, normal noise",
        r"moments of $(x, u)$: three of degree 1 and 2, all to degree 3 at effort full",
    ),
    grade="proved",
)
def rmsprop_step(ctx: Context) -> Evidence:
    """The traced step against the generator's powers, in half powers of h = η²."""
    model, y = _rmsprop()
    names = ctx.choose(FIRST, FIRST + MORE)
    return _one_step(StochasticRMSProp(), model, y, names)


@rmsprop_step.route("the new second moment in the denominator", grade="proved")
def _(ctx: Context) -> Evidence:
    """As optax has it: v is updated first."""
    model, y = _rmsprop()
    return _one_step(StochasticRMSProp("new"), model, y, FIRST)


@rmsprop_step.control("skewed noise, E z³ ≠ 0")
def _(ctx: Context) -> Evidence:
    model, y = _rmsprop(_Skewed)
    return _one_step(StochasticRMSProp(), model, y, FIRST)


class _Louder(RMSPropSDE):
    """The diffusion with its noise times 1 + 1/1000."""

    def noise(self, t, y, dw):
        """1.001 times the noise."""
        return super().noise(t, y, 1.001 * dw)


@rmsprop_step.control("the diffusion's noise times 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    model, y = _rmsprop(kind=_Louder)
    return _one_step(StochasticRMSProp(), model, y, ((X, X),))


def _adam(noise: Any = FactorNoise, kind: Any = AdamSDE):
    import sympy as sp

    f, constant = taylor_polynomial(1, 2), noise(Constant(1.0))
    model = symbols_like(kind(f, constant, 0.5, 2.0, 0.8, 0.1))
    y = AdamState(
        symbol_vector("x", 1),
        symbol_vector("m", 1),
        symbol_vector("u", 1, positive=True),
    )
    return model, y, sp.Symbol("t", positive=True)


@claim(
    "sde_models.adam-step",
    title="One step of Adam and its diffusion agree in moments to O(η⁴)",
    source=adaptive_sdes("the Adam diffusion; the moments are derived here"),
    statement=ADAM + r":\quad \text{moments of a step agree to } O(\eta^4)",
    hypotheses=(
        SCALES,
        r"$f$ a generic quadratic, $\Sigma$ a generic constant, normal noise",
        r"$t > 0$, with bias correction",
        r"$E x$, $E m^2$ of $(x, m, u)$; five more at effort full",
    ),
    grade="proved",
)
def adam_step(ctx: Context) -> Evidence:
    """The traced step at a symbolic time, 1 - β^{k+1} included."""
    few = ((X,), (M, M))
    many = (*few, (M,), (U,), (X, M), (M, U), (M, M, M))
    model, y, t = _adam()
    return _one_step(StochasticAdam(), model, y, ctx.choose(few, many), t)


@adam_step.control("skewed noise, E z³ ≠ 0")
def _(ctx: Context) -> Evidence:
    model, y, t = _adam(_Skewed)
    return _one_step(StochasticAdam(), model, y, ((M, U),), t)


class _Uncorrected(AdamSDE):
    """The diffusion without bias correction, under a scheme that corrects."""

    def corrections(self, t):
        """(1, 1)."""
        return jnp.ones_like(self.c1), jnp.ones_like(self.c1)


@adam_step.control("a diffusion without bias correction")
def _(ctx: Context) -> Evidence:
    model, y, t = _adam(kind=_Uncorrected)
    return _one_step(StochasticAdam(), model, y, ((X,),), t)
