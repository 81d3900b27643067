r"""From uniform random words to variables: uniform, and normal in two ways.

Inversion, ξ = √2 erf⁻¹(u), takes one word a variable (two in float64) and is monotone
in it. Box and Muller's way takes two words for two variables,

    ξ₁ = √(-2 ln v) cos θ,   ξ₂ = √(-2 ln v) sin θ,

v uniform in (0, 1) and θ uniform on the circle, and reaches further into the tails for
fewer operations. The half circle |θ| < π/2 is taken by polynomials in t = 2θ/π and
its opposite half by a random sign, so that the law of (ξ₁, ξ₂) is exactly symmetric
about both axes and under ξ -> -ξ.

Reference: Box and Muller, "A note on the generation of random normal deviates", Annals
of Mathematical Statistics 29(2), 1958.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt32

Words = tuple[UInt32[Array, "..."], UInt32[Array, "..."]]
Normals = tuple[Float[Array, "..."], Float[Array, "..."]]

# sin(πt/2)/t and cos(πt/2) in powers of t²: the polynomials that agree with them at
# the Chebyshev nodes of 0 <= t² <= 1. Largest errors 8e-9 and 3e-10 (float32), 4e-19
# and 7e-21 (float64), before rounding.
SINE = {
    "float32": (
        1.57079632003860163,
        -0.645963759583539301,
        0.0796899183290284958,
        -0.00467414383815177762,
        0.000151671703664089589,
    ),
    "float64": (
        1.57079632679489662,
        -0.645964097506246201,
        0.0796926262461656398,
        -0.00468175413530425532,
        0.000160441184713091592,
        -3.59884302046725752e-6,
        5.69213642809862525e-8,
        -6.68441683185608435e-10,
        5.87297574479995014e-12,
    ),
}
COSINE = {
    "float32": (
        0.999999999779154032,
        -1.23370053423223641,
        0.253669322172695891,
        -0.020862686709227349,
        0.00091772292419955668,
        -0.0000238241524390141059,
    ),
    "float64": (
        1.0,
        -1.23370055013616983,
        0.253669507901047971,
        -0.0208634807633524213,
        0.000919260274835918047,
        -0.0000252020423599540664,
        4.71087448066707723e-7,
        -6.38656108505379535e-9,
        6.5623842967755843e-11,
        -5.12512701070907618e-13,
    ),
}


def centred(words: Words, resolution: str) -> Array:
    """U(-1, 1) at the midpoints of 2²³ (2⁵²) equal cells: never an end, symmetric."""
    if resolution == "float32":
        return _cells32(words[0])
    return _cells64(_joined(words))


def uniform(words: Words, resolution: str) -> Array:
    """U(0, 1) at the midpoints of the same cells."""
    u = centred(words, resolution)
    return u * u.dtype.type(0.5) + u.dtype.type(0.5)


def inverse_normal(words: Words, resolution: str) -> Array:
    """N(0, 1) as √2 erf⁻¹(u): |ξ| < 5.3 (float32) or 8.3 (float64)."""
    u = centred(words, resolution)
    return u.dtype.type(np.sqrt(2.0)) * jax.lax.erf_inv(u)


def box_muller(radius: Words, angle: Words, resolution: str) -> Normals:
    """Two independent N(0, 1) variables from a word (of 32 or 64 bits) each.

    v is the midpoint of one of 2³² (2⁵²) equal cells, rounded to float32 (exact), θ
    of one of 2²⁴ (2⁵³): |ξ| < 6.77 (float32) or 8.58 (float64). The float32 pair is
    the float64 pair of the same leading words to about 1e-6.

    Args:
        radius: two words; float32 looks at the first alone.
        angle: two words, likewise.
        resolution: "float32" or "float64".

    Returns:
        Two arrays of that type and of the words' shape.
    """
    if resolution == "float32":
        r, v, w = jnp.uint32, _open32(radius[0]), angle[0]
        t, last = _cells32(w << r(1)), r(31)
    else:
        w = _joined(angle)
        r, v = jnp.uint64, _open64(_joined(radius))
        t, last = _cells64(w << r(1)), r(63)
    length = jnp.sqrt(v.dtype.type(-2) * jnp.log(v))
    sign = (w >> last) << last
    bits = jax.lax.bitcast_convert_type(length, r) ^ sign
    length = jax.lax.bitcast_convert_type(bits, v.dtype)
    z = t * t
    cosine = _polynomial(COSINE[resolution], z)
    sine = t * _polynomial(SINE[resolution], z)
    return length * cosine, length * sine


def _polynomial(coefficients: tuple[float, ...], z: Array) -> Array:
    value = jnp.full_like(z, coefficients[-1])
    for c in coefficients[-2::-1]:
        value = value * z + z.dtype.type(c)
    return value


def _joined(words: Words) -> Array:
    return (words[0].astype(jnp.uint64) << jnp.uint64(32)) | words[1].astype(jnp.uint64)


def _cells32(word: Array) -> Array:
    cell = (word >> jnp.uint32(9)).astype(jnp.float32)
    return (cell + np.float32(0.5)) * np.float32(2.0**-22) - np.float32(1)


def _cells64(word: Array) -> Array:
    return _fraction64(word) * 2.0 - (1.0 - 2.0**-52)


def _open32(word: Array) -> Array:
    return (word.astype(jnp.float32) + np.float32(0.5)) * np.float32(2.0**-32)


def _open64(word: Array) -> Array:
    return _fraction64(word) + 2.0**-53


def _fraction64(word: Array) -> Array:
    """The leading 52 bits as a fraction in [0, 1), by writing them as a mantissa.

    Few processors convert vectors of 64-bit integers to floating point.
    """
    bits = (word >> jnp.uint64(12)) | jnp.uint64(0x3FF0000000000000)
    return jax.lax.bitcast_convert_type(bits, jnp.float64) - 1.0
