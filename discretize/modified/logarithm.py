"""The flow that follows a scheme to any order, from the scheme's own steps."""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
import jax
from jaxtyping import Array, Float

from discretize.modified.one_step import axpy, check_terms, require_deterministic
from flows import DerivedFlow, Flow, Scheme
from flows.dynamics import parameter


class StepLogarithm(DerivedFlow):
    r"""The logarithm of a scheme's step, from p of its steps and no derivative.

    With Φ the step of size h and Δ the forward difference along y, Φ(y), Φ(Φ(y)), ...,

        y' = (1/h) Σ_{k=1}^{p} ((-1)^{k+1}/k) Δ^k y = (1/h) log(1 + Δ) y + O(h^p),

    so its time-h map is the step up to O(h^{p+1}), as that of the modified flow of p
    terms is; the two differ by O(h^p). It costs p steps where the terms cost nested
    derivatives, and compiles at once; it depends on h in no simple way, and rounding
    enters as 2^p ε |y|/h.

    State: that of `flow`. Unit of time: that of `flow`.

    Reference: the logarithm of the translation operator of a flow, as used for modified
    equations by Hairer, Lubich and Wanner, "Geometric Numerical Integration" (2nd ed.,
    2006), chapter IX; the truncation is derived here.

    Attributes:
        flow: the flow that the scheme discretises.
        scheme: any deterministic one-step scheme.
        h: step size of the scheme (time).
        terms: p, from 1 (the step's own slope) to 8.

    Raises:
        BadInput: `terms` out of range; a scheme that draws noise (on first use).
    """

    equation: ClassVar[str] = (
        r"\dot y = \tfrac1h\sum_{k=1}^{p}\tfrac{(-1)^{k+1}}{k}\Delta^k y"
    )
    flow: Flow
    scheme: Scheme
    h: Float[Array, ""] = eqx.field(converter=parameter, metadata={"positive": True})
    terms: int = eqx.field(static=True, default=2)

    def __check_init__(self):
        check_terms(self.terms)

    def vector_field(self, t, y):
        """(1/h) Σ_k ((-1)^{k+1}/k) Δ^k y, along p steps from (t, y)."""
        require_deterministic(self.scheme, self.flow, y)
        states = [y]
        for k in range(self.terms):
            at = t + k * self.h
            carry = self.scheme.init(self.flow, at, states[-1])
            step = self.scheme.step(self.flow, at, states[-1], self.h, None, carry)
            states.append(step.y)
        total = jax.tree.map(lambda a: 0 * a, y)
        differences = states
        for k in range(1, self.terms + 1):
            pairs = zip(differences[1:], differences[:-1], strict=True)
            differences = [axpy(-1.0, before, after) for after, before in pairs]
            total = axpy((-1) ** (k + 1) / (k * self.h), differences[0], total)
        return total
