r"""Taming: drifts that grow faster than linearly, bounded before a step is taken.

A taming is a function (h, y, drift parts) -> tamed drift b_h, the increment per unit of
time; b_h -> Σ parts as h -> 0. The same object serves a scheme (`TamedEuler`) and an
optimiser (`theopoula`, `tusla`, `tula`). Drifts are written b = -h(θ), the negative
gradient; every taming here is odd in the drift, so the papers' formulas in the gradient
read the same. |·| is the Euclidean norm, s = √h. Formulas are written so that nothing
overflows before the drift itself does: a huge state is answered by a bounded step, not
by a step of 0 or by NaN. (A part that is infinite already cannot be tamed;
`tamed_power` is the regulariser of TUSLA and TheoPouLa in a form that never is.)

| method | tamed drift | class |
| --- | --- | --- |
| ULA, SGLD | b | `Untamed` |
| TULA, tamed Euler | b/(1 + h^α |b|) | `NormTaming` |
| coordinate-wise TULA | bᵢ/(1 + h |bᵢ|) | `CoordinateTaming` |
| tamed by a root | b/√(1 + h²|b|²) | `RootTaming` |
| mTULA | b/√(1 + h |y|^{2r}) | `StateRootTaming` |
| TUSLA | b/(1 + s |y|^{2r}) | `StateTaming` |
| TheoPouLa | bᵢ/(1 + s |bᵢ|) · (1 + s/(ε + |bᵢ|)), second part as TUSLA | `Polygonal` |
| clipping | bᵢ clipped to ±1/s | `Clipping` |
"""

from __future__ import annotations

from abc import abstractmethod
from functools import reduce
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from flows import BadInput
from flows.dynamics import parameter, require_range
from flows.types import is_traced

Vector = Float[Array, " n"]


def _require(name: str, value: Any, *, positive: bool = False) -> None:
    """Refuse a parameter that is no number >= 0 (> 0 where `positive`)."""
    if jnp.shape(value) != ():
        raise BadInput(f"{name} is one number; got shape {jnp.shape(value)}.")
    require_range(name, value)
    if positive and not is_traced(value) and value.dtype != object and value == 0:
        raise BadInput(f"{name} is > 0; got {value}.")


def total(drift: tuple[Vector, ...]) -> Vector:
    """The sum of the drift's parts."""
    return reduce(lambda a, b: a + b, drift)


class Taming(eqx.Module):
    """(h, y, drift parts) -> tamed drift, the increment per unit of time."""

    @abstractmethod
    def __call__(self, h: Any, y: Vector, drift: tuple[Vector, ...]) -> Vector:
        """The tamed drift at y for a step of size h.

        Args:
            h: step size (time).
            y: state, shape [n].
            drift: the drift's parts, each of shape [n]; most tamings sum them.
        """


class Untamed(Taming):
    """b itself: the unadjusted Langevin algorithm, SGLD."""

    def __call__(self, h: Any, y: Vector, drift: tuple[Vector, ...]) -> Vector:
        """Σ parts."""
        del h, y
        return total(drift)


class NormTaming(Taming):
    """b/(1 + h^α |b|): with α = 1 a step of drift is shorter than 1.

    Reference: Hutzenthaler, Jentzen and Kloeden, Annals of Applied Probability 22(4),
    2012 (α = 1); Sabanis, Electronic Communications in Probability 18, 2013 (α = 1/2);
    Brosse, Durmus, Moulines and Sabanis, "The tamed unadjusted Langevin algorithm",
    2019, arXiv 1710.05559 (TULA).

    Attributes:
        exponent: α > 0.
    """

    exponent: Array = eqx.field(converter=parameter, default=1.0)

    def __check_init__(self):
        _require("exponent", self.exponent, positive=True)

    def __call__(self, h: Any, y: Vector, drift: tuple[Vector, ...]) -> Vector:
        """b/(1 + h^α |b|)."""
        del y
        b = total(drift)
        return b / (1 + h**self.exponent * norm(b))


class CoordinateTaming(Taming):
    """bᵢ/(1 + h^α |bᵢ|): each coordinate by itself (TULAc of `NormTaming`'s source).

    Attributes:
        exponent: α > 0.
    """

    exponent: Array = eqx.field(converter=parameter, default=1.0)

    def __check_init__(self):
        _require("exponent", self.exponent, positive=True)

    def __call__(self, h: Any, y: Vector, drift: tuple[Vector, ...]) -> Vector:
        """bᵢ/(1 + h^α |bᵢ|)."""
        del y
        b = total(drift)
        return b / (1 + h**self.exponent * jnp.abs(b))


class RootTaming(Taming):
    """b/√(1 + h²|b|²): changes the drift by O(h²) only."""

    def __call__(self, h: Any, y: Vector, drift: tuple[Vector, ...]) -> Vector:
        """b/√(1 + h²|b|²)."""
        del y
        b = total(drift)
        return b * inverse_root(h**2 * jnp.sum(b**2), h * norm(b))


class StateRootTaming(Taming):
    """b/√(1 + h |y|^{2r}), the modified tamed unadjusted Langevin algorithm (mTULA).

    Reference: Neufeld, Ng and Zhang, arXiv 2207.02600.

    Attributes:
        r: with |b(y)| <= C(1 + |y|^{r+1}).
    """

    r: Array = eqx.field(converter=parameter, default=1.0)

    def __check_init__(self):
        _require("r", self.r)

    def __call__(self, h: Any, y: Vector, drift: tuple[Vector, ...]) -> Vector:
        """b/√(1 + h |y|^{2r})."""
        square = h * jnp.sum(y**2) ** self.r
        return total(drift) * inverse_root(square, jnp.sqrt(h) * norm(y) ** self.r)


class StateTaming(Taming):
    """b/(1 + √h |y|^{2r}): one factor for all parts and coordinates (TUSLA).

    Reference: Lovas, Lytras, Rásonyi and Sabanis, "Taming neural networks with TUSLA",
    2023, arXiv 2006.14514.

    Attributes:
        r: exponent; 2r + 1 is the growth degree of the drift that it tames.
    """

    r: Array = eqx.field(converter=parameter, default=1.0)

    def __check_init__(self):
        _require("r", self.r)

    def __call__(self, h: Any, y: Vector, drift: tuple[Vector, ...]) -> Vector:
        """b/(1 + √h |y|^{2r})."""
        return total(drift) / (1 + jnp.sqrt(h) * jnp.sum(y**2) ** self.r)


class Polygonal(Taming):
    """TheoPouLa: coordinate-wise taming times boosting; a regulariser tamed apart.

    bᵢ/(1 + √h |bᵢ|) · (1 + √h/(ε + |bᵢ|)) + Rᵢ/(1 + √h |y|^{2r}), where b is the first
    drift part and R the second, if there is one (-η y |y|^{2r}). For h <= 1 the first
    term moves each coordinate by less than √h a step.

    Reference: Lim and Sabanis, "Polygonal Unadjusted Langevin Algorithms", JMLR 25(53),
    2024, arXiv 2105.13937. Public code of e-TheoPouLa (arXiv 2210.13193) tames its two
    parts in the same way.

    Attributes:
        eps: ε > 0, in gradient units.
        r: exponent of the regulariser's factor.
    """

    eps: Array = eqx.field(converter=parameter, default=0.1)
    r: Array = eqx.field(converter=parameter, default=1.0)

    def __check_init__(self):
        _require("eps", self.eps, positive=True)
        _require("r", self.r)

    def __call__(self, h: Any, y: Vector, drift: tuple[Vector, ...]) -> Vector:
        """The tamed and boosted gradient part, and the tamed regulariser."""
        if len(drift) not in (1, 2):
            raise BadInput(
                "TheoPouLa tames a drift of one part or two (gradient, regulariser); "
                f"got {len(drift)}."
            )
        b, regulariser = drift[0], drift[1:]
        s, size = jnp.sqrt(h), jnp.abs(b)
        out = b / (1 + s * size) * (1 + s / (self.eps + size))
        for part in regulariser:
            out = out + part / (1 + s * jnp.sum(y**2) ** self.r)
        return out


class Clipping(Taming):
    """bᵢ clipped to ±1/√h: TheoPouLa's bound without its smoothness; a baseline."""

    def __call__(self, h: Any, y: Vector, drift: tuple[Vector, ...]) -> Vector:
        """bᵢ clipped to [-1/√h, 1/√h]."""
        del y
        bound = 1 / jnp.sqrt(h)
        return jnp.clip(total(drift), -bound, bound)


def norm(b: Vector) -> Any:
    """|b|, without overflow of its square; with derivative 0 at 0."""
    if b.size == 1:
        return jnp.sum(jnp.abs(b))
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(b)))
    moving = largest > 0
    unit = jnp.where(moving, b, 1.0) / jnp.where(moving, largest, 1.0)
    return largest * jnp.sqrt(jnp.sum(unit**2))


def inverse_root(square: Any, root: Any) -> Any:
    """1/√(1 + x²) from x² and x >= 0, without overflow of the square."""
    large = root > 1
    inverse = 1 / jnp.where(large, root, 1.0)
    far = inverse / jnp.sqrt(1 + inverse**2)
    return jnp.where(large, far, 1 / jnp.sqrt(1 + jnp.where(large, 0.0, square)))


def tamed_power(y: Vector, r: Any, h: Any) -> Vector:
    """The quotient y |y|^{2r}/(1 + √h |y|^{2r}), finite for every finite y and every r.

    Times -η it is the tamed regulariser of TUSLA and TheoPouLa. The power alone leaves
    float32 at |y| = 24 for r = 14; the quotient tends to y/√h.

    Args:
        y: state, shape [n].
        r: exponent, r >= 0.
        h: step size (time), positive.

    Returns:
        The quotient, shape [n], of y's dtype.
    """
    s, size = jnp.sqrt(h), norm(y)
    far = size > 1
    power = jnp.where(far, 1.0, size) ** (2 * r)
    inverse = jnp.where(far, size, 1.0) ** (-2 * r)
    return y * jnp.where(far, 1 / (inverse + s), power / (1 + s * power))
