"""A valley that narrows: the edge of stability in two dimensions, solved."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from flows.door import require_number
from flows.objective import Facts, SympyObjective, from_sympy, stated
from flows.types import Scalar


class ValleyOrbit(NamedTuple):
    """An orbit of period 2: steps alternate between (amplitude, depth) and its mirror.

    Attributes:
        amplitude: |x| (0 where nothing oscillates), shape [].
        depth: z*, shape [].
        memory: ν of scalar RMSProp (squared gradient units), None elsewhere.
    """

    amplitude: Float[Array, ""]
    depth: Float[Array, ""]
    memory: Any = None

    @property
    def position(self) -> Float[Array, " 2"]:
        """The point (amplitude, depth)."""
        return jnp.stack([self.amplitude, self.depth])


class Valley(SympyObjective):
    """L(x, z) = (s + a z) x²/2 - d z + k z²/2 (see `valley`).

    Attributes:
        parameters: s, a, d and k.
    """

    def _values(self) -> tuple[Any, Any, Any, Any]:
        return tuple(self.parameters[name] for name in "sadk")  # pyright: ignore

    def depth(self, threshold: Scalar) -> Float[Array, ""]:
        """z* with s + a z* = `threshold`: how far in the sharpness reaches it."""
        s, a, *_ = self._values()
        return (threshold - s) / a

    def variance(self, threshold: Scalar) -> Float[Array, ""]:
        """σ² = max(0, 2 (d - k z*)/a): what pins the sharpness at the threshold.

        It is -2 f'(z*)/s'(z*) for the floor f = -d z + k z²/2 and the curvature
        s(z) = s + a z; 0 where the floor has its minimum before z*.
        """
        _, a, d, k = self._values()
        return jnp.maximum(0.0, 2 * (d - k * self.depth(threshold)) / a)

    def orbit(self, threshold: Scalar) -> ValleyOrbit:
        """The orbit of period 2 of an optimiser whose edge is at `threshold`.

        z stands still at the threshold and x² = σ², exactly, for gradient descent
        (threshold 2/η) and for momentum β at its own threshold: Polyak 2(1+β)/η, mean
        of gradients 2(1+β)/((1-β)η), Nesterov 2(1+β)/((1+2β)η). The loss on it is
        -d z* + k z*²/2 + threshold σ²/2: constant, and the central flow's corrected
        loss. Where σ² = 0 there is no oscillation: the floor's minimum, at d/k.
        """
        _, _, d, k = self._values()
        variance = self.variance(threshold)
        depth = jnp.where(variance > 0, self.depth(threshold), d / k)
        return ValleyOrbit(jnp.sqrt(variance), depth)

    def rms_orbit(self, learning_rate: Scalar) -> ValleyOrbit:
        """The orbit of period 2 of scalar RMSProp, ν ← b ν + (1-b)|g|², w -= η g/√ν.

        x² = η²/4, d - k z* = a η²/8 and ν = (η (s + a z*)/2)², whatever b is: the
        memory adapts to the sharpness, so that the orbit may stand anywhere.
        """
        s, a, d, k = self._values()
        eta = jnp.asarray(learning_rate)
        depth = (d - a * eta**2 / 8) / k
        memory = (eta * (s + a * depth) / 2) ** 2
        return ValleyOrbit(eta / 2, depth, memory)

    def multipliers(self, learning_rate: Scalar) -> Any:
        r"""Both eigenvalues of gradient descent's step at its orbit, x ↦ -x undone.

        The step, turned round by that reflection, has there the trace 2 - η k and the
        determinant

            1 - η k + η² a² σ².

        So the orbit attracts where η a² σ² < k and 2 η k < 4 + η² a² σ²: the damping of
        the floor must beat the gain of the oscillation, and must not overshoot.

        Args:
            learning_rate: η, with σ² > 0 at the threshold 2/η.

        Returns:
            Two complex numbers, shape [2].
        """
        _, a, _, k = self._values()
        eta = jnp.asarray(learning_rate)
        gain = eta**2 * a**2 * self.variance(2 / eta)
        radicand = (eta * k / 2) ** 2 - gain
        root = jnp.sqrt(jax.lax.complex(radicand, jnp.zeros_like(radicand)))
        half = jnp.asarray(1 - eta * k / 2, root.dtype)
        return jnp.stack([half + root, half - root])


def valley(
    sharpness: Scalar = 20.0,
    narrowing: Scalar = 1.5,
    descent: Scalar = 0.3,
    curvature: Scalar = 0.8,
) -> Valley:
    r"""L(x, z) = (s + a z) x²/2 - d z + k z²/2: a valley along z that narrows.

    Gradient flow follows the floor x = 0 towards z = d/k while the sharpness s + a z
    rises. An optimiser with a large step cannot follow it there: at the edge of
    stability it starts to oscillate across the valley, and what it does then is known
    exactly (`Valley.orbit`, `Valley.rms_orbit`).

    Args:
        sharpness: s > 0, at z = 0 (curvature units: 1/time).
        narrowing: a, its slope along the valley; not 0.
        descent: d, the slope of the floor at z = 0.
        curvature: k >= 0 of the floor.

    Returns:
        The objective; positions are (x, z).

    Raises:
        BadInput: an argument that is no finite number, s <= 0, k < 0, or a = 0.
    """
    import sympy

    from flows.dynamics import require_range
    from flows.errors import BadInput

    require_number("sharpness", sharpness, positive=True)
    require_number("narrowing", narrowing)
    require_number("descent", descent)
    require_range("curvature", curvature)
    if narrowing == 0:
        raise BadInput("narrowing is not 0: a valley of one width has no edge to meet.")
    x, z, s, a, d, k = sympy.symbols("x z s a d k", real=True)
    expression = (s + a * z) * x**2 / 2 - d * z + k * z**2 / 2
    values = {s: sharpness, a: narrowing, d: descent, k: curvature}
    made = from_sympy(expression, [x, z], values)
    return Valley(stated(Facts()), made.expression, made.variables, made.parameters)
