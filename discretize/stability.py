"""Linear stability of optimisers and schemes on quadratics: the largest curvature."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from discretize.jury import jury_conditions, spectral_radius
from discretize.linearise import (
    Linearisation,
    curvature_symbol,
    linearised_optimizer,
    linearised_scheme,
    scheme_step,
)
from discretize.thresholds import first_limit, proved_limit
from flows import BadInput, Flow, GradientFlow, NoSymbolicFace, Objective, Scheme
from flows.types import Scalar

LARGEST = 1e6
"""Largest curvature looked at where a limit is measured and not derived."""


@dataclass(frozen=True, repr=False)
class Stability:
    """Up to which curvature λ a method is stable at a minimiser.

    Attributes:
        polynomial: characteristic polynomial in z of the step linearised at rest on
            f = λ x²/2, as a product over groups of coordinates (None if measured).
        conditions: Jury's conditions on it, expressions that must all be positive.
        limit: the λ below which all roots have modulus < 1 (a sympy number or an
            expression in the symbols; infinite where there is none). Unit: that of λ;
            for a scheme without a step size that of hλ.
        grade: "proved" (the conditions hold on (0, limit) and fail beyond it, for all
            values of the symbols; or found from exact roots), "exact up to rounding"
            (floats of the code were no simple rationals), "derived" (a root of one
            condition; the others not proved), "measured" (bisection on numbers).
        unit: "λ" or "hλ".
        sharpness: the objective's `Sharpness` at the parameters, or None.
        symbol: the symbol of λ.
    """

    polynomial: Any
    conditions: tuple[Any, ...]
    limit: Any
    grade: str
    unit: str = "λ"
    sharpness: Any = None
    symbol: Any = field(default=None, repr=False)
    blocks: tuple[tuple[Any, ...], ...] = field(default=(), repr=False)

    @property
    def ratio(self) -> float:
        """The limit over the sharpness: above 1 is stable (infinite where flat)."""
        if self.sharpness is None:
            raise BadInput("no sharpness was measured: give an objective and params.")
        if self.sharpness.value <= 0:
            return math.inf
        return float(self.limit) / self.sharpness.value

    @property
    def verdict(self) -> str:
        """One line: the limit, the sharpness with its residual, and how far apart."""
        if self.sharpness is None:
            return f"limit on {self.unit}: {_shown(self.limit)} ({self.grade})"
        s = self.sharpness
        measured = f"sharpness {s.value:.4g} (residual {s.residual:.1g})"
        limit = f"limit {_shown(self.limit)}"
        if s.value <= 0:
            return f"{limit}; {measured}: no direction curves upwards, nothing to limit"
        if abs(s.value - float(self.limit)) <= s.residual:
            return f"{limit}; {measured}: undecided, the two agree within the residual"
        if self.ratio == math.inf:
            return f"{limit}; {measured}: stable at any curvature"
        if self.ratio > 1:
            return f"{limit}; {measured}: stable, {self.ratio:.2g}x below the limit"
        above = math.inf if self.ratio == 0 else 1 / self.ratio
        return f"{limit}; {measured}: unstable, {above:.2g}x above the limit"

    def spectral_radius(self, curvature: Scalar, **values: Scalar) -> float:
        """Largest modulus of an eigenvalue of the step at this λ (and these symbols).

        From companion matrices, independent of Jury's conditions.

        Raises:
            BadInput: a symbol without a value, or a limit that was only measured.
        """
        if not self.blocks:
            raise BadInput("this limit was measured: there is no polynomial.")
        table = {self.symbol: float(curvature)}
        for s in set().union(*(c.free_symbols for b in self.blocks for c in b)):
            if s == self.symbol:
                continue
            if s.name not in values:
                raise BadInput(f"the polynomial has the symbol {s}: give it a value.")
            table[s] = float(values[s.name])
        return max(
            spectral_radius([float(c.subs(table)) for c in b]) for b in self.blocks
        )

    def __str__(self) -> str:
        return self.verdict

    __repr__ = __str__

    def _repr_html_(self) -> str:
        import html

        rows = [("verdict", self.verdict), ("grade", self.grade)]
        if self.polynomial is not None:
            rows.append(("characteristic polynomial", str(self.polynomial)))
            rows += [("must be positive", str(c)) for c in self.conditions]
        body = "".join(
            f"<tr><th>{html.escape(k)}</th><td>{html.escape(v)}</td></tr>"
            for k, v in rows
        )
        return f"<table>{body}</table>"


def stability(
    method: Any,
    objective: Objective | None = None,
    params: Any = None,
    *,
    h: Scalar | None = None,
    flow: Callable[[Objective], Flow] = GradientFlow,
) -> Stability:
    r"""The largest stable curvature of a method, beside the sharpness of a loss.

    The step on f = λ x²/2 is traced, linearised at the minimiser (moments at rest, bias
    corrections died out), and Jury's conditions on its characteristic polynomial are
    solved for λ. Gradient descent: ηλ < 2; momentum β: ηλ < 2(1+β); Adam (moments at
    rest, so preconditioned by its ε alone): ηλ/(√ε_root + ε) < 2(1+β₁)/(1-β₁). It is a
    local statement: of each Hessian eigenvector apart, near a minimiser.

    Reference: Bock and Weiss, arXiv 2102.09804 (Adam); Polyak, USSR Comput. Math. Math.
    Phys. 4 (1964) (momentum).

    Args:
        method: an optax optimiser, its hyperparameters numbers (of a schedule the value
            at which it ends counts); or a deterministic scheme.
        objective: the loss whose sharpness stands beside the limit (optional).
        params: where the sharpness is measured: the user's pytree. At a kink (ReLU)
            the Hessian is that of the branch that jax differentiates.
        h: step size of a scheme; None gives the limit on hλ.
        flow: objective -> flow, what a scheme steps; its state is one vector.

    Raises:
        BadInput: a method without a linear part at rest (signs, norms), with noise, or
            one of `objective` and `params` without the other; degree above 4.
        NoSymbolicFace: an optimiser's primitive without symbolic rule.
    """
    if (objective is None) != (params is None):
        raise BadInput("give objective and params together, or neither.")
    if isinstance(method, Scheme):
        found = _of_scheme(method, h, flow)
        if objective is not None and h is None:
            raise BadInput("a scheme is compared with a sharpness at a step size: h=.")
    elif isinstance(method, optax.GradientTransformation):
        if h is not None or flow is not GradientFlow:
            raise BadInput("h and flow belong to schemes; an optimiser has its own.")
        found = _of_optimizer(lambda: method, {})
    else:
        raise BadInput(
            f"expected an optax optimiser or a scheme, got {type(method).__name__}."
        )
    return _with_sharpness(found, objective, params)


def stability_of(
    factory: Callable[..., optax.GradientTransformation],
    /,
    objective: Objective | None = None,
    params: Any = None,
    **hyper: Any,
) -> Stability:
    """As `stability`, for a family of optimisers with symbolic hyperparameters.

        stability_of(lambda eta, beta: optax.sgd(eta, momentum=beta),
                     eta=(0, inf), beta=(0, 1)).limit      # 2 (1 + β)/η, proved

    The limit is solved from Jury's conditions and proved: each condition, with λ =
    limit · r/(1 + r), becomes a fraction of polynomials with positive coefficients
    in positive variables; and with λ = limit · (1 + r) one of them turns negative.

    Args:
        factory: hyperparameters -> optax optimiser.
        objective: as in `stability` (numbers only).
        params: as in `stability`.
        **hyper: name -> a number, or a range: (0, inf) open, (0, 1) closed at 0. A
            retention factor (β) needs the range (0, 1): powers of it die out.

    Raises:
        BadInput: a range other than these two, and as `stability`.
    """
    values, ranges = symbols_in_ranges(hyper)
    if ranges and objective is not None:
        raise BadInput("a sharpness is compared with numbers: give no ranges.")
    return _with_sharpness(_of_optimizer(factory, values, ranges), objective, params)


def symbols_in_ranges(hyper: Mapping[str, Any]) -> tuple[dict, dict]:
    """Symbols in place of ranges: (name -> value, symbol -> "unit" or "positive").

    Raises:
        BadInput: a range other than (0, inf) and (0, 1).
    """
    import sympy as sp

    values, ranges = {}, {}
    for name, value in hyper.items():
        values[name] = value
        if not isinstance(value, tuple):
            continue
        if value not in ((0, math.inf), (0, 1)):
            raise BadInput(f"the range of {name} is (0, inf) or (0, 1); got {value}.")
        unit = value == (0, 1)
        known = {"nonnegative": True} if unit else {"positive": True}
        values[name] = sp.Symbol(name, **known)
        ranges[values[name]] = "unit" if unit else "positive"
    return values, ranges


def characteristic_polynomial(
    method: Any, *, h: Any = None, flow: Callable[[Objective], Flow] = GradientFlow
) -> Any:
    """The characteristic polynomial in z of a method's step on λ x²/2, at rest.

    Args:
        method: an optax optimiser or a scheme (see `stability`).
        h: step size of a scheme; None is 1, so that λ stands for hλ.
        flow: objective -> flow, what a scheme steps.

    Returns:
        A sympy expression in the symbols z and lambda, factored over the groups of
        coordinates that move each other.
    """
    if isinstance(method, Scheme):
        step = 1 if h is None else h
        return _product(linearised_scheme(method, curvature_symbol(), step, flow))
    return _product(linearised_optimizer(lambda: method, {}, curvature_symbol()))


def _product(linear: Linearisation) -> Any:
    import sympy as sp

    z = sp.Symbol("z")
    return sp.Mul(*(sp.Poly(b, z).as_expr() for b in linear.blocks))


def _of_optimizer(
    factory: Callable[..., Any],
    hyper: Mapping[str, Any],
    ranges: Mapping[Any, str] | None = None,
) -> Stability:
    curvature = curvature_symbol()
    linear = linearised_optimizer(factory, hyper, curvature)
    return solved_limit(linear, curvature, ranges or {}, "λ")


def solved_limit(
    linear: Linearisation, curvature: Any, ranges: Any, unit: str
) -> Stability:
    """The limit on λ of a linear step, by Jury's conditions; ranges of its symbols."""
    import sympy as sp

    conditions = []
    for block in linear.blocks:
        for c in map(sp.factor, jury_conditions(block)):
            if not c.is_positive and c not in conditions:
                conditions.append(c)
    if ranges:
        limit, grade = proved_limit(conditions, curvature, ranges)
    else:
        limit, grade = first_limit(conditions, curvature), "proved"
    if not linear.exact:
        grade = "exact up to rounding"
    polynomial = _product(linear)
    return Stability(
        polynomial,
        tuple(conditions),
        limit,
        grade,
        unit,
        None,
        curvature,
        linear.blocks,
    )


def _of_scheme(scheme: Scheme, h: Any, flow: Callable[..., Flow]) -> Stability:
    if h is not None and not (np.ndim(h) == 0 and math.isfinite(h) and h > 0):
        raise BadInput(f"h is a positive step size, not {h}.")
    unit = "hλ" if h is None else "λ"
    step = 1.0 if h is None else float(h)
    curvature = curvature_symbol()
    try:
        linear = linearised_scheme(scheme, curvature, step, flow)
    except NoSymbolicFace:
        limit = _measured_limit(scheme, step, flow)
        return Stability(None, (), limit, "measured", unit, None, curvature)
    return solved_limit(linear, curvature, {}, unit)


def _measured_limit(scheme: Scheme, h: float, flow: Callable[..., Flow]) -> float:
    """The first λ at which the amplification leaves the unit circle, by bisection."""
    step = scheme_step(scheme, flow, jnp.zeros(1), 0.0)

    @jax.jit
    def matrix(curvature):
        jacobian = jax.jacrev(lambda z: step(curvature, jnp.asarray(h), z))
        return jacobian(jnp.zeros(1))

    def radius(curvature: float) -> float:
        a = np.asarray(matrix(jnp.asarray(curvature)))
        if not np.all(np.isfinite(a)):
            return math.inf
        return float(np.max(np.abs(np.linalg.eigvals(a))))

    grid = np.geomspace(1e-3, LARGEST, 181) / h
    inside = [radius(c) < 1 for c in grid]
    if all(inside):
        return math.inf
    k = inside.index(False)
    low, high = (float(grid[k - 1]) if k else 0.0), float(grid[k])
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if radius(middle) < 1 else (low, middle)
    return low


def _with_sharpness(found: Stability, objective: Any, params: Any) -> Stability:
    if objective is None:
        return found
    from dataclasses import replace

    return replace(found, sharpness=objective.sharpness(params))


def _shown(limit: Any) -> str:
    if getattr(limit, "free_symbols", None):
        return str(limit)
    value = float(limit)
    return "infinite" if math.isinf(value) else f"{value:.4g}"
