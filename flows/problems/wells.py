"""Wells for sampling: powers of a norm, and a double well with two unequal floors."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows.door import require_whole
from flows.dynamics import parameter, require_range
from flows.errors import BadInput
from flows.objective import (
    Fact,
    Facts,
    Objective,
    SympyObjective,
    from_loss,
    from_sympy,
)
from flows.types import Scalar


class NormPower(Objective):
    """ρ(x) = η |x|^{2r+2}/(2r+2), with gradient η x |x|^{2r} (see `norm_power`).

    Attributes:
        eta: η >= 0.
        r: exponent, r >= 0.
    """

    facts: Facts
    eta: Array = eqx.field(converter=parameter)
    r: Array = eqx.field(converter=parameter)
    dimension: int = eqx.field(static=True, default=1)

    def __check_init__(self):
        require_range("eta", self.eta)
        require_range("r", self.r)
        if not isinstance(self.dimension, int) or self.dimension < 1:
            raise BadInput(
                f"the dimension is a positive whole number; got {self.dimension!r}."
            )

    @property
    def size(self) -> int:
        """The dimension n."""
        return self.dimension

    def value(self, x: Float[Array, " n"], batch: Any = None) -> Float[Array, ""]:
        """η |x|^{2r+2}/(2r+2)."""
        del batch
        return self.eta * jnp.sum(x**2) ** (self.r + 1) / (2 * self.r + 2)

    def gradient(self, x: Float[Array, " n"], batch: Any = None) -> Float[Array, " n"]:
        """η x |x|^{2r}."""
        del batch
        return self.eta * x * jnp.sum(x**2) ** self.r


def norm_power(eta: Scalar, r: Scalar, n: int = 1) -> NormPower:
    """ρ(x) = η |x|^{2r+2}/(2r+2) in n dimensions: TUSLA's and TheoPouLa's regulariser.

    Facts: minimum 0 at 0.

    Args:
        eta: η >= 0.
        r: r >= 0; the gradient grows like |x|^{2r+1}.
        n: dimension.

    Raises:
        BadInput: negative η or r, or no dimension.
    """
    minimiser = Fact(np.zeros(n), "ρ >= 0 = ρ(0)")
    return NormPower(Facts(minimiser=minimiser, minimum=Fact(0.0, "ρ >= 0")), eta, r, n)


def tilted_double_well(tilt: float = 0.1) -> SympyObjective:
    """f(x) = x⁴/4 - x²/2 + tilt x: two wells, the left one deeper where tilt > 0.

    For tilt = 0.1 the minima lie at -1.04668 (global, f = -0.352386) and 0.94565, the
    saddle at 0.10103.
    """
    import sympy

    x, a = sympy.symbols("x a", real=True)
    return from_sympy(x**4 / 4 - x**2 / 2 + a * x, [x], {a: tilt})


def coupled_wells(d: int) -> Objective:
    """f(x, y) = Σ x_i⁴/4 - y Σ x_i + (d/2) y², i = 1, …, d: as steep as it is large.

    The curvatures at the saddle 0 are 0 (d - 1 times) and (d ± √(d² + 4d))/2: about -1
    and d + 1. The minima are ±(1, …, 1), with f = -d/4.

    Args:
        d: number of wells; the parameters are x and y, d + 1 of them.

    Raises:
        BadInput: a d that is no positive whole number.
    """
    require_whole("d", d)

    def loss(z):
        x, y = z[:-1], z[-1]
        return jnp.sum(x**4) / 4 - y * jnp.sum(x) + d / 2 * y**2

    by = "f = (d/2)(y - m)² + Σ x⁴/4 - (d/2)m², m = mean x, and d m² <= Σ x²"
    facts = Facts(minimum=Fact(-d / 4, by))
    return from_loss(loss, jnp.zeros(d + 1), facts=facts)


def saddle_between_wells() -> SympyObjective:
    """f(x, y) = x⁴ - 4x² + y²: a strict saddle at 0 between two wells.

    The Hessian at 0 is diag(-8, 2); the minima are (±√2, 0), with f = -4. The line
    x = 0 is the stable manifold of the saddle under gradient flow.
    """
    import sympy

    x, y = sympy.symbols("x y", real=True)
    minimum = Fact(-4.0, "f = (x² - 2)² - 4 + y²")
    return from_sympy(x**4 - 4 * x**2 + y**2, [x, y], facts=Facts(minimum=minimum))
