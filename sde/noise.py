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

from flows.dynamics import Dynamics, State
from flows.errors import BadInput, PrecisionError
from flows.scheme import Draw, Scheme

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA
_OWN = 0xFFFFFFFF  # sets the variables of a key apart from its subkeys

Words = tuple[UInt32[Array, "..."], UInt32[Array, "..."]]


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
    return _uniform(key_words(key), _widest()).astype(float)


def uniforms(key: Any, size: int) -> Float[Array, " size"]:
    """Independent U(0, 1) variables of the default float type.

    No flag of `jax.config` but the precision changes them.
    """
    words = _component_words(key_words(key), jnp.uint32(_OWN), size)
    return _uniform(words, _widest()).astype(float)


def normals(key: Any, size: int) -> Float[Array, " size"]:
    """Independent N(0, 1) variables of the default float type (see `uniforms`)."""
    words = _component_words(key_words(key), jnp.uint32(_OWN), size)
    return _normal(words, _widest()).astype(float)


def _widest() -> str:
    return str(jnp.asarray(0.0).dtype)


def _component_words(key: Words, paths: UInt32[Array, "*p"], size: int) -> Words:
    """Words of shape [size, *p]: the paths come last, which vectorises best."""
    shape = (size, *paths.shape)
    component = jax.lax.broadcasted_iota(jnp.uint32, shape, 0)
    return threefry(key, (jnp.broadcast_to(paths[None], shape), component))


def _centred(words: Words, resolution: str) -> Array:
    """U(-1, 1) at the midpoints of 2²³ (2⁵²) equal cells: never an end, symmetric."""
    if resolution == "float32":
        cell = (words[0] >> jnp.uint32(9)).astype(jnp.float32)
        return (cell + np.float32(0.5)) * np.float32(2.0**-22) - np.float32(1)
    high = words[0].astype(jnp.uint64) << jnp.uint64(32)
    cell = ((high | words[1].astype(jnp.uint64)) >> jnp.uint64(12)).astype(jnp.float64)
    return (cell + 0.5) * 2.0**-51 - 1


def _uniform(words: Words, resolution: str) -> Array:
    u = _centred(words, resolution)
    return u * u.dtype.type(0.5) + u.dtype.type(0.5)


def _normal(words: Words, resolution: str) -> Array:
    u = _centred(words, resolution)
    return u.dtype.type(np.sqrt(2.0)) * jax.lax.erf_inv(u)


class Noise(eqx.Module):
    """Where the noise of an ensemble comes from.

    A step's draws are functions of (key, path, step, component) alone, so an ensemble
    is the same for any chunk size, and path k can be drawn by itself.

    Attributes:
        resolution: of the variables, which are cast to the default float type.
            "float32" (the default) takes normals from 2²³ equally likely values,
            |ξ| < 5.3, whose variance is 1 - 2e-7 and whose fourth moment is
            3(1 - 4e-6); it runs three times as fast. "float64" takes 2⁵² values,
            |ξ| < 8.3.
    """

    resolution: str = eqx.field(static=True, default="float32")

    def __check_init__(self):
        if self.resolution not in ("float32", "float64"):
            raise BadInput(
                f'resolution is "float32" or "float64"; got {self.resolution!r}.'
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
        if self.resolution == "float64" and jnp.asarray(0.0).dtype != jnp.float64:
            raise PrecisionError('Noise(resolution="float64")')
        leaves, structure = jax.tree.flatten(draws)
        words = key_words(key)
        step = jnp.asarray(step).astype(jnp.uint32)
        values = [
            jnp.moveaxis(
                self._leaf(threefry(words, (step, jnp.uint32(i))), paths, draw),
                -1,
                axis,
            )
            for i, draw in enumerate(leaves)
        ]
        return jax.tree.unflatten(structure, values)

    def _leaf(self, key: Words, paths: Array, draw: Draw) -> Array:
        size = int(np.prod(draw.shape, dtype=int))
        words = _component_words(key, paths, size)
        if draw.law == "normal":
            values = _normal(words, self.resolution).astype(float)
        elif draw.law == "uniform":
            values = _uniform(words, self.resolution).astype(float)
        elif draw.law == "bits":
            values = words[0]
        else:
            raise BadInput(f'a draw is "normal", "uniform" or "bits"; got {draw}.')
        return values.reshape(*draw.shape, *paths.shape)


def draw_noise(
    scheme: Scheme,
    dynamics: Dynamics,
    y: State,
    key: Any,
    steps: int,
    *,
    path: int = 0,
    noise: Noise | None = None,
) -> Any:
    """The noise of one path for `flows.iterate`: that of path `path` of an ensemble.

    Args:
        scheme: the scheme; says what a step draws.
        dynamics: what it steps.
        y: a state, for its shapes.
        key: a whole number or a jax key.
        steps: number of steps.
        path: which path of the ensemble with this key.
        noise: resolution of the draws.

    Returns:
        A pytree of arrays with a leading axis [steps]; None where nothing is drawn.

    Raises:
        BadInput: a missing key, or fewer than one step.
    """
    draws = scheme.noise_like(dynamics, y)
    if draws is None:
        return None
    if not isinstance(steps, int | np.integer) or steps < 1:
        raise BadInput(f"steps is a positive whole number; got {steps!r}.")
    if not isinstance(path, int | np.integer) or not 0 <= path < 2**32:
        raise BadInput(f"path is a whole number in [0, 2**32); got {path!r}.")
    words = jax.random.key_data(as_key(key))
    return _draw_steps(
        noise or Noise(),
        words,
        jnp.full((1,), path, jnp.uint32),
        jnp.arange(steps, dtype=jnp.uint32),
        _Frozen(draws),
    )


class _Frozen:
    """A pytree of `Draw` as a static argument, compared by value."""

    def __init__(self, draws: Any) -> None:
        self.draws = draws
        leaves, structure = jax.tree.flatten(draws)
        self._value = (tuple(leaves), structure)

    def __hash__(self) -> int:
        return hash(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Frozen) and self._value == other._value


@eqx.filter_jit
def _draw_steps(noise, words, paths, steps, frozen):
    def one(step):
        block = noise.block(words, paths, step, frozen.draws)
        return jax.tree.map(lambda a: a[0], block)

    return jax.vmap(one)(steps)
