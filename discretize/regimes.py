"""Nodes, spirals, flips and saddles of inertial-Newton flows and of their steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Int8

from discretize.regime_formulas import Regime as Regime
from discretize.regime_formulas import RegimeBoundaries as RegimeBoundaries
from discretize.regime_formulas import boundaries, every
from flows import BadInput
from flows.door import as_floats
from flows.types import is_traced


class Regimes(NamedTuple):
    """Regimes of many modes, every array of the shape to which the inputs broadcast.

    Attributes:
        regime: codes, the values of `Regime`.
        eigenvalues: of the flow μ (1/time), of a step z; last axis 2. Real ones in
            falling order, the slow root first; of a pair the upper one first.
        rate: decay per unit of time of the slower root, -max Re μ, or -log max|z| / γ;
            negative where it grows.
        boundary: the curvature λ nearest to the given one at which the regime changes,
            the other parameters held; 0 is always one.
        distance: |λ - boundary|, unit of λ.
    """

    regime: Int8[Array, "..."]
    eigenvalues: Complex[Array, "... 2"]
    rate: Float[Array, "..."]
    boundary: Float[Array, "..."]
    distance: Float[Array, "..."]

    def counts(self) -> dict[str, int]:
        """How many modes are in each regime, by name; regimes without any are out."""
        codes, many = np.unique(np.asarray(self.regime), return_counts=True)
        return {Regime(int(c)).name: int(n) for c, n in zip(codes, many, strict=True)}


def regimes(
    curvature: Any,
    friction: Any,
    hessian_damping: Any,
    *,
    mass: Any = 1.0,
    step: Any = None,
) -> Regimes:
    r"""How modes of curvature λ move under inertial-Newton damping, flow or step.

    On f = λx²/2 the flow m x'' + α x' + β ∇²f x' + ∇f = 0 has the exponents of

        m μ² + (α + βλ) μ + λ = 0,

    and explicit Euler of step γ in its (x, ψ) form (INNA, where m = 1) multiplies by
    z = 1 + γμ. For λ > 0 the flow is a stable spiral where αβ < m and λ₋ < λ < λ₊, a
    stable node elsewhere; for λ < 0 a saddle. A step is stable where λ > 0,

        (γ-β) λ < α   and   4m - 2γα > γ(2β-γ) λ,

    a spiral exactly where the flow is one, and a flip where a root is negative. The
    arguments broadcast against each other; a million modes are one compiled call.
    Optax's SGD of learning rate η and momentum b is the point γ = √η, α = (1-b)/γ with
    β = γ (heavy ball) or β = (1+b)γ (Nesterov).

    Reference: the window λ± for m = 1: Castera, "Inertial Newton Algorithms Avoiding
    Strict Saddle Points", JOTA 199 (2023), arXiv 2111.04596; mass, steps and
    boundaries are derived here.

    Args:
        curvature: λ, eigenvalues of a Hessian, any sign.
        friction: α >= 0 (time · curvature; 1/time where m = 1).
        hessian_damping: β >= 0 (time).
        mass: m > 0 (time² · curvature).
        step: γ > 0 (time); None for the flow.

    Returns:
        Codes, eigenvalues, rates and the nearest boundaries, in jax's default float.
        A sum below 64 units of rounding of its terms counts as 0.

    Raises:
        BadInput: a parameter out of its range, a mode so large that α + βλ or γ²λ
            overflows, or shapes that do not broadcast.
    """
    parameters = _parameters(friction, hessian_damping, mass, step)
    values, tops = zip(_floats("curvature", curvature), *parameters, strict=True)
    _require_broadcast(*values)
    _require_finite_sums(values, tops)
    return Regimes(*every(values))


def regime_boundaries(
    friction: Any, hessian_damping: Any, *, mass: Any = 1.0, step: Any = None
) -> RegimeBoundaries:
    """The curvatures at which `regimes` changes, in closed form (0 is one more).

    Args:
        friction: α >= 0.
        hessian_damping: β >= 0.
        mass: m > 0.
        step: γ > 0; None for the flow.

    Raises:
        BadInput: as `regimes`.
    """
    parameters = _parameters(friction, hessian_damping, mass, step)
    values = [value for value, _ in parameters]
    _require_broadcast(*values)
    return boundaries(values)


def critical_mass(curvature: Any, friction: Any, hessian_damping: Any) -> Array:
    """The mass m* = (α + βλ)²/(4λ) of the fastest slow root, at a curvature λ > 0.

    There the two roots meet and the rate is 2λ/(α + βλ): twice that of the
    Levenberg–Marquardt flow (m -> 0). A lighter mode is slowed by its small root, a
    heavier one by its inertia.

    Args:
        curvature: λ > 0.
        friction: α >= 0.
        hessian_damping: β >= 0.

    Raises:
        BadInput: a number out of its range.
    """
    found = (
        _floats("curvature", curvature, "> 0"),
        _floats("friction", friction, ">= 0"),
        _floats("hessian_damping", hessian_damping, ">= 0"),
    )
    values = [value for value, _ in found]
    _require_broadcast(*values)
    stiffness, alpha, beta = jnp.broadcast_arrays(*values)
    friction = alpha + beta * stiffness
    return friction * (friction / (4 * stiffness))  # its square may overflow


def _parameters(friction, hessian_damping, mass, step) -> tuple[Any, ...]:
    """See `_floats`; the step alone may be missing."""
    found = (
        _floats("friction", friction, ">= 0"),
        _floats("hessian_damping", hessian_damping, ">= 0"),
        _floats("mass", mass, "> 0"),
    )
    return found if step is None else (*found, _floats("step", step, "> 0"))


def _floats(name: str, value: Any, wanted: str = "") -> tuple[Array, float]:
    """The value as jax floats, and its largest size; NaN of traced and of no numbers.

    Refused where it is not finite, or out of its range.
    """
    if is_traced(value):
        if jnp.iscomplexobj(value):
            raise BadInput(f"{name} is an array of real numbers; got complex ones.")
        return jnp.asarray(value, float), np.nan
    try:
        numbers = as_floats(name, value)
    except OverflowError:  # an integer beyond every float
        numbers = np.asarray(np.inf)
    # NaN makes both ends NaN
    low, high = (f(numbers) if numbers.size else 1.0 for f in (np.min, np.max))
    inside = {"": -np.inf < low, ">= 0": low >= 0, "> 0": low > 0}
    if not (inside[wanted] and high < np.inf):
        raise BadInput(
            f"{name} holds finite real numbers{' ' if wanted else ''}{wanted}; got "
            f"{value!r:.60}."
        )
    array = jnp.asarray(value if isinstance(value, jax.Array) else numbers, float)
    return array, max(float(high), -float(low)) if numbers.size else np.nan


def _require_finite_sums(values: Sequence[Array], tops: Sequence[float]) -> None:
    """Refuse modes whose α + βλ, or trace or determinant of a step, overflow."""
    if np.isnan(tops).any():
        return
    limit = float(jnp.finfo(values[0].dtype).max)
    # the largest of all arguments together first: it needs no array
    with np.errstate(over="ignore", invalid="ignore"):
        if _terms(*tops) < limit:
            return
        largest = np.max(_terms(*(np.abs(np.asarray(v, float)) for v in values)))
    if not largest < limit:
        raise BadInput(
            f"(α + βλ)(1 + 2γ) + γ²λ + 4m must stay below {limit:.3g}; the largest "
            f"|λ|, α, β, m (and γ) are {', '.join(f'{t:.3g}' for t in tops)}."
        )


def _terms(curvature: Any, alpha: Any, beta: Any, m: Any, h: Any = 0.0) -> Any:
    """The sum of all terms whose signs are asked, each positive."""
    return (alpha + beta * curvature) * (1 + 2 * h) + h * (h * curvature) + 4 * m


def _require_broadcast(*values: Array) -> None:
    shapes = [v.shape for v in values]
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        raise BadInput(
            "curvature, friction, hessian_damping, mass and step broadcast against "
            f"each other; got the shapes {', '.join(map(str, shapes))}."
        ) from None
