"""SGD and its modified equation over one step; the covariance of minibatches."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from discretize import StochasticGradient, local_defect
from flows import finite_sum
from flows.problems import taylor_polynomial
from flows.symbolic import exactly, symbols_like
from proofs_check.claim import claim
from proofs_check.claims.sde_sgd import SECOND, scaled
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.papers import stochastic_modified_equations
from sde import FactorNoise, MinibatchNoise, StochasticModifiedEquation


class _LinearFactor(eqx.Module):
    """σ(x) = a + b x, shape [n, n]: the generic factor to first order at 0."""

    a: Any
    b: Any

    def __call__(self, x):
        """The matrix."""
        return self.a + self.b @ x


def _moment_defects(n: int, degree: int, spread: float, order: int = 2) -> Evidence:
    """Moments of one step's increment at 0, SGD less diffusion, through h²."""
    import sympy as sp

    factor = _LinearFactor(jnp.zeros((n, n)), jnp.zeros((n, n, n)))
    plain = StochasticModifiedEquation(
        taylor_polynomial(n, 3), FactorNoise(factor), 0.1, order
    )
    model = symbols_like(plain)
    rate = model.learning_rate
    whole = model if spread == 1 else scaled(model, spread=spread)
    zero = np.array([sp.Integer(0)] * n, dtype=object)
    found = []
    for d in range(1, degree + 1):
        for chosen in itertools.combinations_with_replacement(range(n), d):

            def monomial(t, y, chosen=chosen):
                return jnp.prod(y[np.array(chosen)])

            # the step is the learning rate: h^k with a coefficient in the rate
            parts = local_defect(StochasticGradient(), whole, monomial, zero, 2)
            total = sum(c * rate ** int(power) for power, c in parts.items())
            total = sp.Poly(sp.expand(total), rate)
            found += [total.coeff_monomial(rate**k) for k in range(3)]
    zeros = np.zeros(len(found), dtype=int).astype(object)
    return identical(
        np.array(found, dtype=object),
        zeros,
        f"moments to degree {degree}, {n} variables",
    )


@claim(
    "sde_models.sgd-moments",
    title="One step of SGD and its modified equation agree in moments to O(h³)",
    source=stochastic_modified_equations(
        "the second-order equation; the moments are derived here"
    ),
    statement=SECOND + r":\quad \mathbb{E}\,\Delta = -h\nabla f,\quad "
    r"\mathbb{E}\,\Delta\Delta^{\!\top} = h^2(\nabla f\nabla f^{\top} + \Sigma),"
    r"\quad \text{each to } O(h^3)",
    hypotheses=(
        r"$f$ and $\Sigma^{1/2}(x)$ smooth; generic Taylor polynomials at the point",
        r"one variable and moments to degree 2 (two, and 4, at effort full)",
    ),
    grade="proved",
)
def sgd_moments(ctx: Context) -> Evidence:
    """The traced step against the generator's powers; Σ may depend on x."""
    return _moment_defects(*ctx.choose((1, 2), (2, 4)), 1.0)


@sgd_moments.control("the drift of order 1")
def _(ctx: Context) -> Evidence:
    return _moment_defects(1, 1, 1.0, order=1)


@sgd_moments.control("Σ^{1/2} times 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    return _moment_defects(1, 2, 1.001)


# Minibatches.


def _batches(n: int, size: int, replacement: bool):
    if replacement:
        return list(itertools.product(range(n), repeat=size))
    return list(itertools.combinations(range(n), size))


def _covariance(size: int, drawn: bool, formula: bool) -> Evidence:
    """The covariance over all batches drawn so, against the noise's factor."""
    rows = 3
    f = symbols_like(finite_sum([taylor_polynomial(2, 1) for _ in range(rows)]))
    batches = _batches(rows, size, drawn)

    def difference(f):
        x = jnp.zeros(2)
        g = jnp.stack([f.gradient(x, np.array(b)) for b in batches])
        centred = g - f.gradient(x)
        columns = MinibatchNoise(f, size, formula).columns(x)
        return centred.T @ centred / len(batches) - columns.T @ columns

    found = exactly(difference, f)
    return identical(
        found,
        np.zeros((2, 2), dtype=int).astype(object),
        f"batches of {size} of {rows}, replacement: {drawn}",
    )


@claim(
    "sde_models.minibatch-covariance",
    title="The covariance of batch gradients, with and without replacement",
    source=stochastic_modified_equations(
        "Σ of SGD; the finite-population factor is elementary"
    ),
    statement=r"\Sigma = \frac{S}{B}\ \text{with replacement},\quad "
    r"\Sigma = \frac{S}{B}\,\frac{N-B}{N-1}\ \text{without},\quad "
    r"S = \frac1N\sum_i(\nabla f_i - \nabla f)(\nabla f_i - \nabla f)^{\top}",
    hypotheses=(r"$N = 3$ rows of generic gradients in two variables, $B = 2$",),
    grade="proved",
)
def minibatch_covariance(ctx: Context) -> Iterator[Evidence]:
    """All batches enumerated, the gradients being symbols."""
    yield _covariance(2, False, False)
    yield _covariance(2, True, True)


@minibatch_covariance.control("drawn without replacement, the factor of with")
def _(ctx: Context) -> Evidence:
    return _covariance(2, False, True)
