"""Counter-based noise: value = f(key, path, step, component), whatever the chunk.

The generator is Threefry-2x32 with 20 rounds, written out here so that no value depends
on a `jax.config` flag, on the number of devices, or on which paths are drawn together.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt32

from flows.errors import BadInput, PrecisionError
from flows.scheme import Draw
from sde.noise_variables import Words, box_muller, inverse_normal, uniform

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA
_OWN = 0xFFFFFFFF  # sets the variables of a key apart from its subkeys
_LOW = 0x80000000  # sets the trailing halves of 64-bit words apart from the leaves


@jax.jit
def threefry(key: Words, counter: Words) -> Words:
    """Threefry-2x32-20: two uniform 32-bit words for a key and a counter of two words.

    Reference: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2,
    3", SC 2011, section 3.2.

    Args:
        key: two uint32 scalars (or arrays that broadcast).
        counter: two uint32 arrays of one shape.

    Returns:
        Two uint32 arrays of that shape.
    """
    k0, k1 = key
    schedule = (k0, k1, k0 ^ k1 ^ jnp.uint32(_PARITY))
    x0, x1 = counter[0] + k0, counter[1] + k1
    for block in range(5):
        for r in _ROTATIONS[block % 2]:
            x0 = x0 + x1
            x1 = (x1 << jnp.uint32(r)) | (x1 >> jnp.uint32(32 - r))
            x1 = x0 ^ x1
        x0 = x0 + schedule[(block + 1) % 3]
        x1 = x1 + schedule[(block + 2) % 3] + jnp.uint32(block + 1)
    return x0, x1


def as_key(key: Any) -> Array:
    """A jax key of the threefry kind from a whole number or from any jax key.

    Args:
        key: a whole number in [0, 2⁶⁴), a typed jax key, or raw key data (uint32).

    Raises:
        BadInput: None, a number out of range, or an array of keys.
    """
    if key is None:
        raise BadInput("key is missing: pass a whole number, or jax.random.key(0).")
    if isinstance(key, int | np.integer) and not isinstance(key, bool):
        if not 0 <= key < 2**64:
            raise BadInput(f"a whole-number key lies in [0, 2**64); got {key}.")
        words = np.array([int(key) >> 32, int(key) & 0xFFFFFFFF], np.uint32)
        return jax.random.wrap_key_data(jnp.asarray(words), impl="threefry2x32")
    dtype = getattr(key, "dtype", None)
    if dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key):
        data = jax.random.key_data(key)
    elif dtype == jnp.uint32:
        data = jnp.asarray(key)
    else:
        raise BadInput(f"a key is a whole number or a jax key; got {key!r}.")
    if data.ndim != 1 or data.shape[0] not in (2, 4):
        raise BadInput(f"one key is wanted; got key data of shape {data.shape}.")
    if data.shape[0] == 4:  # the keys of the rbg generators
        data = jnp.stack(threefry((data[0], data[1]), (data[2], data[3])))
    return jax.random.wrap_key_data(data, impl="threefry2x32")


def key_words(key: Any) -> Words:
    """The two uint32 words of a key (see `as_key`)."""
    data = jax.random.key_data(as_key(key))
    return data[0], data[1]


def subkeys(key: Any, index: Any, count: int) -> Array:
    """The `count` keys of part `index` of a computation, shape [count]."""
    part = jnp.full((count,), jnp.asarray(index).astype(jnp.uint32))
    each = jax.lax.iota(jnp.uint32, count)
    data = jnp.stack(threefry(key_words(key), (part, each)), axis=-1)
    return jax.random.wrap_key_data(data, impl="threefry2x32")


def uniform_of(key: Any) -> Float[Array, ""]:
    """The U(0, 1) variable that a key's own words are.

    For a key that serves nothing else.
    """
    return uniform(key_words(key), _widest()).astype(float)


def uniforms(key: Any, size: int) -> Float[Array, " size"]:
    """Independent U(0, 1) variables of the default float type.

    No flag of `jax.config` but the precision changes them.
    """
    words = _component_words(key_words(key), jnp.uint32(_OWN), size)
    return uniform(words, _widest()).astype(float)


def normals(key: Any, size: int) -> Float[Array, " size"]:
    """Independent N(0, 1) variables of the default float type (see `uniforms`)."""
    words = _component_words(key_words(key), jnp.uint32(_OWN), size)
    return inverse_normal(words, _widest()).astype(float)


def _widest() -> str:
    return str(jnp.asarray(0.0).dtype)


def _component_words(key: Words, paths: UInt32[Array, "*p"], size: int) -> Words:
    """Words of shape [size, *p]: the paths come last, which vectorises best."""
    shape = (size, *paths.shape)
    component = jax.lax.broadcasted_iota(jnp.uint32, shape, 0)
    return threefry(key, (jnp.broadcast_to(paths[None], shape), component))


class Noise(eqx.Module):
    """Where the noise of an ensemble comes from.

    A step's draws are functions of (key, path, step, component) alone, so an ensemble
    is the same for any chunk size, and path k can be drawn by itself. Functions that
    take a `Noise` take its name as well (`NAMES`):

    | name | normals | values | largest | variance - 1 | fourth moment - 3 | speed |
    | --- | --- | --- | --- | --- | --- | --- |
    | "float32" (default) | Box-Muller | 2⁵⁶ pairs | 6.76 | 6e-8 | 4e-7 | 1 |
    | "float64" | Box-Muller | 2¹⁰⁵ pairs | 8.57 | below 1e-15 | below 1e-14 | 0.4 |
    | "inversion-float32" | √2 erf⁻¹(u) | 2²³ | 5.29 | -2e-7 | -1e-5 | 0.6 |
    | "inversion-float64" | √2 erf⁻¹(u) | 2⁵² | 8.2 | below 1e-14 | below 1e-12 | 0.2 |

    Speed is that of `simulate` in float64 on one core of a CPU (tamed Euler on a double
    well). All noises take the words of Threefry-2x32 with 20 rounds. The default is the
    fastest, and of the two in float32 it comes closer to N(0, 1) in every column. The
    two Box-Muller noises are roundings of one variable, and so are the two inversions.

    Attributes:
        resolution: "float32" or "float64": of the variables, which are cast to the
            default float type.
        method: "box-muller", in which steps 2j and 2j+1 share their words, or
            "inversion", in which a variable grows with its word.
    """

    resolution: str = eqx.field(static=True, default="float32")
    method: str = eqx.field(static=True, default="box-muller")

    def __check_init__(self):
        if self.resolution not in ("float32", "float64"):
            raise BadInput(
                f'resolution is "float32" or "float64"; got {self.resolution!r}.'
            )
        if self.method not in ("box-muller", "inversion"):
            raise BadInput(
                f'method is "box-muller" or "inversion"; got {self.method!r}.'
            )

    def block(
        self, key: Any, paths: UInt32[Array, " p"], step: Any, draws: Any, axis: int = 0
    ) -> Any:
        """The draws of some paths at one step.

        Args:
            key: a whole number or a jax key.
            paths: which paths, uint32, shape [p].
            step: index of the step, below 2³².
            draws: pytree of `Draw` (or None).
            axis: where the paths stand in each leaf: 0, or -1 (fastest).

        Returns:
            The same pytree with an array of shape [p, *draw.shape] for each `Draw`
            (axis 0) or [*draw.shape, p] (axis -1).

        Raises:
            BadInput: a law that is not "normal", "uniform" or "bits".
            PrecisionError: resolution "float64" while jax computes in float32.
        """
        step = jnp.asarray(step).astype(jnp.uint32)
        if self.method == "box-muller":
            both = self.pair(key, paths, step >> jnp.uint32(1), draws, axis)
            odd = (step & jnp.uint32(1)).astype(bool)
            return jax.tree.map(lambda a, b: jnp.where(odd, b, a), *both)
        words, leaves, structure = self._asked(key, draws)
        values = [
            _cast(
                _placed(self._inverted(words, step, i, paths, draw), draw, paths, axis)
            )
            for i, draw in enumerate(leaves)
        ]
        return jax.tree.unflatten(structure, values)

    def pair(
        self,
        key: Any,
        paths: UInt32[Array, " p"],
        index: Any,
        draws: Any,
        axis: int = 0,
    ) -> tuple[Any, Any]:
        """The blocks of steps 2·index and 2·index + 1, cheaper than one by one.

        Arguments, errors and each of the two are those of `block`.
        """
        return halves(draws, self.packed(key, paths, index, draws, axis))

    def packed(
        self, key: Any, paths: UInt32[Array, " p"], index: Any, draws: Any, axis: int
    ) -> list[Any]:
        """`pair` with the values at the two steps as real and imaginary parts.

        One array is made in one pass over the words, two arrays in two passes: a
        compiled loop has one result.

        Returns:
            For each leaf of `draws` a complex array, or two arrays of words for the law
            "bits". `halves` takes them apart.
        """
        index = jnp.asarray(index).astype(jnp.uint32)
        words, leaves, _ = self._asked(key, draws)
        values = []
        for i, draw in enumerate(leaves):
            both = (self._two if self.method == "inversion" else self._both)(
                words, index, i, paths, draw
            )
            a, b = (_placed(v, draw, paths, axis) for v in both)
            values.append((a, b) if draw.law == "bits" else jax.lax.complex(a, b))
        return values

    def _asked(self, key: Any, draws: Any) -> tuple[Words, list[Draw], Any]:
        if self.resolution == "float64" and jnp.asarray(0.0).dtype != jnp.float64:
            raise PrecisionError('Noise(resolution="float64")')
        leaves, structure = jax.tree.flatten(draws)
        for draw in leaves:
            if draw.law not in ("normal", "uniform", "bits"):
                raise BadInput(f'a draw is "normal", "uniform" or "bits"; got {draw}.')
        return key_words(key), leaves, structure

    def _inverted(self, key, step, leaf, paths, draw):
        key = threefry(key, (step, jnp.uint32(leaf)))
        words = _component_words(key, paths, _size(draw))
        if draw.law == "bits":
            return words[0]
        variable = inverse_normal if draw.law == "normal" else uniform
        return variable(words, self.resolution)

    def _two(self, key, index, leaf, paths, draw):
        first = index << jnp.uint32(1)
        steps = first, first | jnp.uint32(1)
        return tuple(self._inverted(key, k, leaf, paths, draw) for k in steps)

    def _both(self, key, index, leaf, paths, draw):
        """The values at two steps, from the two words of one call."""
        of_pair = threefry(key, (index, jnp.uint32(leaf)))
        first, second = _component_words(of_pair, paths, _size(draw))
        if draw.law == "bits":
            return first, second
        low = first, second  # not looked at in float32
        if self.resolution == "float64":
            of_pair = threefry(key, (index, jnp.uint32(leaf | _LOW)))
            low = _component_words(of_pair, paths, _size(draw))
        a, b = (first, low[0]), (second, low[1])
        if draw.law == "normal":
            return box_muller(a, b, self.resolution)
        return uniform(a, self.resolution), uniform(b, self.resolution)


def _size(draw: Draw) -> int:
    return int(np.prod(draw.shape, dtype=int))


def _placed(values: Array, draw: Draw, paths: Array, axis: int) -> Array:
    """Values of shape [size, p] in the draw's shape, the paths on `axis`."""
    return jnp.moveaxis(values.reshape(*draw.shape, *paths.shape), -1, axis)


def _cast(values: Array) -> Array:
    return values if values.dtype == jnp.uint32 else values.astype(float)


def halves(draws: Any, packed: list[Any]) -> tuple[Any, Any]:
    """The draws at two steps from what `Noise.packed` returned."""
    structure = jax.tree.structure(draws)
    pairs = [v if isinstance(v, tuple) else (v.real, v.imag) for v in packed]
    a, b = (
        jax.tree.unflatten(structure, [_cast(pair[k]) for pair in pairs])
        for k in (0, 1)
    )
    return a, b


NAMES = {
    "float32": Noise(),
    "float64": Noise("float64"),
    "inversion-float32": Noise("float32", "inversion"),
    "inversion-float64": Noise("float64", "inversion"),
}


def as_noise(noise: Any) -> Noise:
    """The noise of a name in `NAMES`; None is the default, `Noise()`.

    Raises:
        BadInput: neither a `Noise` nor one of the names.
    """
    if noise is None:
        return Noise()
    if isinstance(noise, Noise):
        return noise
    if isinstance(noise, str) and noise in NAMES:
        return NAMES[noise]
    known = ", ".join(f'"{name}"' for name in NAMES)
    raise BadInput(f"noise is a Noise or one of the names {known}; got {noise!r}.")
