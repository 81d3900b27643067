"""The noise of one path, drawn up front for `flows.iterate`."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flows.dynamics import Dynamics, State
from flows.errors import BadInput
from flows.scheme import Scheme
from sde._checks import require_scheme
from sde.noise import Noise, as_key, as_noise, halves


def draw_noise(
    scheme: Scheme,
    dynamics: Dynamics,
    y: State,
    key: Any,
    steps: int,
    *,
    path: int = 0,
    noise: Noise | str | None = None,
) -> Any:
    """The noise of one path for `flows.iterate`: that of path `path` of an ensemble.

    Args:
        scheme: the scheme; says what a step draws.
        dynamics: what it steps.
        y: a state, for its shapes.
        key: a whole number or a jax key.
        steps: number of steps.
        path: which path of the ensemble with this key.
        noise: a `Noise` or its name, as "float64".

    Returns:
        A pytree of arrays with a leading axis [steps]; None where nothing is drawn.

    Raises:
        BadInput: a missing key, fewer than one step, or a scheme that the model is not
            stepped by.
    """
    require_scheme(dynamics, scheme)
    draws = scheme.noise_like(dynamics, y)
    if draws is None:
        return None
    if not isinstance(steps, int | np.integer) or steps < 1:
        raise BadInput(f"steps is a positive whole number; got {steps!r}.")
    if not isinstance(path, int | np.integer) or not 0 <= path < 2**32:
        raise BadInput(f"path is a whole number in [0, 2**32); got {path!r}.")
    words = jax.random.key_data(as_key(key))
    frozen, pairs = _Frozen(draws), (int(steps) + 1) // 2
    packed = _packed_steps(as_noise(noise), words, jnp.uint32(path), pairs, frozen)
    return _in_order(packed, int(steps), frozen)


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
def _packed_steps(noise, words, path, pairs, frozen):
    """`Noise.packed` of one path, the pairs of steps on the last axis."""

    def two(index):
        return noise.packed(words, path[None], index, frozen.draws, -1)

    index = jnp.arange(pairs, dtype=jnp.uint32)
    return jax.tree.map(lambda a: a[..., 0, :], jax.vmap(two, out_axes=-1)(index))


@eqx.filter_jit
def _in_order(packed, steps, frozen):
    """The steps on the first axis, in order."""

    def one(a, b):
        both = jnp.stack([a, b], axis=-1)
        return jnp.moveaxis(both.reshape(*a.shape[:-1], -1)[..., :steps], -1, 0)

    return jax.tree.map(one, *halves(frozen.draws, packed))
