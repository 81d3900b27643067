"""Modified equations of linear multistep methods, momentum methods among them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from discretize.modified.one_step import (
    Field,
    axpy,
    check_terms,
    compositions,
    derivative,
)
from flows import BadInput, Flow
from flows.types import is_traced


def multistep_terms(
    alpha: Sequence[Any], beta: Sequence[Any], flow: Flow, terms: int
) -> list[Field]:
    r"""The fields F₁, ..., F_terms of a linear multistep method's modified equation.

    The method Σ_i α_i x_{n+i} = h Σ_i β_i f(x_{n+i}) has smooth solutions
    x_n = y(nh), with y' = F₁ + h F₂ + ... =: F(y): the slow manifold, to which the
    others are drawn where the remaining roots of ρ lie inside the unit disc. Let D be
    the derivative along F. Then ρ(e^{hD}) y = h σ(e^{hD}) f, and D y = F, so that

        F = Σ_k μ_k h^k D^k f,   Σ_k μ_k z^k = z σ(e^z)/ρ(e^z),

        F_j = Σ_{k<j} μ_k Σ_{k₁+...+k_k=j-1} D_{k₁} ⋯ D_{k_k} f.

    For explicit Euler the μ_k are B_k/k!, with Bernoulli's numbers.

    Reference: Hairer, Lubich and Wanner, "Geometric Numerical Integration" (2nd ed.,
    2006), chapter XV (modified equations of multistep methods).

    Args:
        alpha: α_0, ..., α_k with Σ α_i = 0 and Σ i α_i ≠ 0 (numbers, arrays of shape
            [], symbols under tracing).
        beta: β_0, ..., β_k.
        flow: y' = f(t, y).
        terms: how many, 1 to 8.

    Returns:
        Functions (t, y) -> tangent of y's structure. Unit of F_j: that of y over
        time^j.

    Raises:
        BadInput: `terms` out of range, lists of different lengths, ρ(1) ≠ 0 or
            ρ'(1) = 0.
    """
    check_terms(terms)
    mu = _expansion(alpha, beta, terms)
    return _fields(flow, mu)


def _fields(flow: Flow, mu: list[Any]) -> list[Field]:
    """F_1, F_2, ..., one for each μ."""

    def field(j: int) -> Field:
        return lambda t, y: _term(flow, mu[:j], t, y)

    return [field(j) for j in range(1, len(mu) + 1)]


@eqx.filter_jit
def _term(flow: Flow, mu: list[Any], t: Any, y: Any) -> Any:
    """F_j(t, y) from F_1, ..., F_{j-1}, given μ_0, ..., μ_{j-1}."""
    t = jnp.asarray(t, jax.tree.leaves(y)[0].dtype)
    j, f = len(mu), flow.vector_field
    if j == 1:
        return jax.tree.map(lambda a: mu[0] * a, f(t, y))
    lower = _fields(flow, mu[: j - 1])
    total = jax.tree.map(jnp.zeros_like, f(t, y))
    for k in range(1, j):
        for word in compositions(j - 1, k):
            term = f
            for index in reversed(word):
                term = derivative(term, lower[index - 1], index == 1)
            total = axpy(mu[k], term(t, y), total)
    return total


def _expansion(alpha: Sequence[Any], beta: Sequence[Any], terms: int) -> list[Any]:
    """μ_0, ..., μ_{terms-1}: the power series of z σ(e^z)/ρ(e^z)."""
    if len(alpha) != len(beta) or len(alpha) < 2:
        raise BadInput(
            "alpha and beta are lists of one length, at least 2; got lengths "
            f"{len(alpha)} and {len(beta)}."
        )
    if all(isinstance(c, int | float) for c in (*alpha, *beta)):
        # in fractions, so that each μ is the float nearest to it, and not one beside
        alpha, beta = [Fraction(a) for a in alpha], [Fraction(b) for b in beta]
    r = [_moment(alpha, n + 1) for n in range(terms)]
    s = [_moment(beta, n) for n in range(terms)]
    if not is_traced((alpha, beta)):
        scale = sum(abs(float(a)) for a in alpha)
        if abs(float(sum(alpha))) > 1e-12 * scale:
            raise BadInput("the coefficients alpha sum to 0: ρ(1) = 0.")
        if abs(float(r[0])) <= 1e-12 * scale:
            raise BadInput(
                "1 is a simple root of ρ: Σ i α_i is not 0. Otherwise no flow is "
                "approximated."
            )
    mu: list[Any] = []
    for n in range(terms):
        known = sum(mu[m] * r[n - m] for m in range(n))
        mu.append((s[n] - known) / r[0])
    return [float(m) if isinstance(m, Fraction) else m for m in mu]


def _moment(coefficients: Sequence[Any], power: int) -> Any:
    """Σ_i c_i i^power / power!."""
    total = sum(c * i**power for i, c in enumerate(coefficients) if i or power == 0)
    return total / math.factorial(power)
