"""Modified equations: the flow that a one-step scheme really follows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from flows import BadInput, DerivedFlow, Flow, Scheme
from flows.door import require_whole
from flows.dynamics import parameter

MAX_TERMS = 8
Field = Callable[[Any, Any], Any]


class ModifiedFlow(DerivedFlow):
    r"""The modified flow y' = f₁ + h f₂ + ... + h^{p-1} f_p of a scheme at step h.

    Its exact time-h map is the scheme's step up to O(h^{p+1}), so over a fixed time the
    scheme stays within O(h^p) of it. With d_j the Taylor coefficients of the step in h,
    Φ_h(y) = y + h d₁ + h² d₂ + ..., and D_k u = u' f_k,

        f_j = d_j - Σ_{i=2}^{j} (1/i!) Σ_{k₁+...+k_i=j} D_{k₁} ⋯ D_{k_{i-1}} f_{k_i}.

    Time is one more coordinate, moved by f₁ alone; so fields that depend on t work.
    All derivatives are nested forward modes. Two terms cost a Hessian-vector product
    beside the gradient of a gradient flow; each further term costs about three times
    the one before, and its compilation too. `StepLogarithm` has the same order at the
    price of p steps.

    State: that of `flow`. Unit of time: that of `flow`.

    Reference: Hairer, Lubich and Wanner, "Geometric Numerical Integration" (2nd ed.,
    2006), section IX.1; on gradient descent Barrett and Dherin, ICLR 2021, arXiv
    2009.11162 (p = 2).

    Attributes:
        flow: the flow that the scheme discretises.
        scheme: any deterministic one-step scheme whose step is differentiable in h.
        h: step size of the scheme (time).
        terms: p, from 1 (the flow itself, for a consistent scheme) to 8.

    Raises:
        BadInput: `terms` out of range; a scheme that draws noise (on first use).
    """

    equation: ClassVar[str] = r"\dot y = f_1(y) + h f_2(y) + \dots + h^{p-1} f_p(y)"
    flow: Flow
    scheme: Scheme
    h: Float[Array, ""] = eqx.field(converter=parameter, metadata={"positive": True})
    terms: int = eqx.field(static=True, default=2)

    def __check_init__(self):
        check_terms(self.terms)

    def vector_field(self, t, y):
        """Σ_j h^{j-1} f_j(t, y)."""
        return series_at(
            modified_terms(self.scheme, self.flow, self.terms), self.h, t, y
        )


def modified_terms(scheme: Scheme, flow: Flow, terms: int) -> list[Field]:
    """The fields f₁, ..., f_terms of a scheme's modified equation.

    Args:
        scheme: any deterministic one-step scheme.
        flow: the flow that it steps.
        terms: how many, 1 to 8.

    Returns:
        Functions (t, y) -> tangent of y's structure; jax code, so they can be traced
        by `flows.symbolic.symbolically`. Unit of f_j: that of y over time^j.

    Raises:
        BadInput: `terms` out of range; a scheme that draws noise (on first use).
    """
    check_terms(terms)

    def field(j: int) -> Field:
        return lambda t, y: _term(scheme, flow, j, t, y)

    return [field(j) for j in range(1, terms + 1)]


def series_at(fields: list[Field], h: Any, t: Any, y: Any) -> Any:
    """Σ_j h^{j-1} f_j(t, y)."""
    total = fields[0](t, y)
    for j, field in enumerate(fields[1:], start=1):
        total = axpy(h**j, field(t, y), total)
    return total


def check_terms(terms: Any) -> None:
    """Refuse a number of terms that is not a whole number from 1 to 8."""
    require_whole("terms", terms, 1, MAX_TERMS)


@eqx.filter_jit
def _term(scheme: Scheme, flow: Flow, j: int, t: Any, y: Any) -> Any:
    """f_j(t, y) from f_1, ..., f_{j-1}.

    A compiled function is traced and differentiated once, however often later terms
    and solvers ask for it: it is what keeps five terms affordable.
    """
    t = jnp.asarray(t, jax.tree.leaves(y)[0].dtype)
    lower = modified_terms(scheme, flow, j - 1) if j > 1 else []
    total = _taylor_coefficient(scheme, flow, t, y, j)
    for i in range(2, j + 1):
        for *outer, last in compositions(j, i):
            term = lower[last - 1]
            for k in reversed(outer):
                term = derivative(term, lower[k - 1], k == 1)
            total = axpy(-1.0 / math.factorial(i), term(t, y), total)
    return total


def _taylor_coefficient(scheme: Scheme, flow: Flow, t: Any, y: Any, j: int) -> Any:
    """d_j = (1/j!) ∂_h^j Φ_h(y) at h = 0, by nested forward mode."""
    require_deterministic(scheme, flow, y)
    carry = scheme.init(flow, t, y)

    def step(h):
        return scheme.step(flow, t, y, h, None, carry).y

    function = step
    for _ in range(j):
        function = _slope(function)
    zero = jnp.zeros((), jax.tree.leaves(y)[0].dtype)
    return jax.tree.map(lambda d: d / math.factorial(j), function(zero))


def require_deterministic(scheme: Scheme, flow: Flow, y: Any) -> None:
    """Refuse a scheme that draws noise on this flow."""
    if scheme.noise_like(flow, y) is not None:
        raise BadInput(
            f"{type(scheme).__name__} draws noise on {type(flow).__name__}: a modified "
            "ordinary differential equation belongs to a deterministic step."
        )


def _slope(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda h: jax.jvp(function, (h,), (jnp.ones_like(h),))[1]


def derivative(u: Field, f: Field, with_time: bool) -> Field:
    """D u = u' f, plus ∂ₜu where f is f₁ (time moves with f₁ alone)."""

    def du(t, y):
        rate = jnp.full_like(t, 1.0 if with_time else 0.0)
        return jax.jvp(u, (t, y), (rate, f(t, y)))[1]

    return du


def compositions(total: int, parts: int) -> Iterator[tuple[int, ...]]:
    """The ways to write `total` as an ordered sum of `parts` positive numbers."""
    if parts == 1:
        yield (total,)
        return
    for first in range(1, total - parts + 2):
        for rest in compositions(total - first, parts - 1):
            yield (first, *rest)


def axpy(scale: Any, v: Any, y: Any) -> Any:
    """The tree y + scale·v."""
    return jax.tree.map(lambda a, b: b + scale * a, v, y)
