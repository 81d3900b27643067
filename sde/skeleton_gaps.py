"""Largest distances between paths that follow one path of the label."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows.door import require_instance, require_whole
from flows.errors import BadInput
from sde.jump_process import JumpProcess
from sde.skeletons import Skeletons

_RATIO = 0.75  # of neighbouring offsets: the maximum of a smooth gap is seen to 1 %


def largest_gap(first: Any, second: Any, *, points: int = 32) -> Float[Array, " paths"]:
    """The largest distance |x_t - x'_t| over time of two processes that jump together.

    Simulate both with one key, one index and one horizon, so that their labels switch
    at the same times: a process with momentum and its limit of zero mass, say.

    Between two jumps, a time δ apart, the positions are compared at the times 0 and
    (3/4)^k δ after the first, k = 0, ..., points - 1. Times crowd where the gap changes
    fastest, after a jump, so that a layer of any width above (3/4)^points δ is seen.

    Args:
        first: `Skeletons` whose states have a `position`.
        second: the same number of paths, with jumps at the same times.
        points: the number of times compared in each segment, beside its start.

    Returns:
        One distance a path, the largest of those compared: a smooth maximum between two
        such times is higher by a few per cent at most.

    Raises:
        BadInput: no skeletons, other jump times, points below 1.
    """
    for run in (first, second):
        require_instance(run, Skeletons, "largest_gap compares two runs of skeletons")
    require_whole("points", points, 1)
    if first.delays.shape != second.delays.shape or not np.array_equal(
        np.asarray(first.delays), np.asarray(second.delays)
    ):
        raise BadInput(
            "the two runs jump at different times: simulate both with one key, one "
            "index and the same horizon."
        )
    paths = first.delays, first.times, first.states, second.states
    return _gaps(first.process, second.process, paths, points)


@eqx.filter_jit
def _gaps(first: JumpProcess, second: JumpProcess, paths: Any, points: int) -> Any:
    shares = jnp.append(_RATIO ** jnp.arange(points, dtype=float), 0.0)

    def over_segment(delay, t, y, z):
        def gap(share):
            h: Any = share * delay
            one: Any = first.exact(t, y, h)
            other: Any = second.exact(t, z, h)
            return jnp.sqrt(jnp.sum((one.position - other.position) ** 2))

        return jnp.max(jax.vmap(gap)(shares))

    def over_path(segments):
        return jnp.max(jax.vmap(over_segment)(*segments))

    return jax.lax.map(over_path, paths)
