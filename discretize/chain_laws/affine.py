"""A step that is affine in one standard normal: its mean map and its deviation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from discretize.chain_laws.door import on_a_line, require_states
from flows import BadInput, Draw, Dynamics, Scheme
from flows.door import require_instance, require_number
from sde import Law
from sde.starts import require_step

_BLOCK = 512
"""States stepped together; one size, so that each scheme compiles once."""
_PROBES = np.array([-2.7, -1.0, 0.6, 4.1])
_TOLERANCE = 1e-11
_STATE = np.zeros(1)


class AffineStep:
    """The chain y' = m(y) + s(y) ξ, with ξ standard normal, that a scheme makes in 1-D.

    Attributes:
        scheme: the one-step map.
        dynamics: what it steps; its state is a vector of shape [1].
        h: step size (time).
        noise: a zero noise of the scheme's structure.
    """

    def __init__(self, scheme: Scheme, dynamics: Dynamics, h: Any) -> None:
        require_instance(
            scheme, Scheme, "the law of a chain takes a scheme, as Euler()"
        )
        require_instance(dynamics, Dynamics, "a chain's law takes a dynamics")
        require_number("h", h, positive=True)
        self.scheme, self.dynamics, self.h = scheme, dynamics, float(h)
        self.noise = _one_normal(scheme, dynamics)

    def at(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The mean map m(x) and the standard deviation s(x), shapes as x.

        Raises:
            BadInput: the step is not affine in its normal, or depends on time.
        """
        x, h = np.asarray(x, float), jnp.asarray(self.h)
        out = [np.empty(x.size) for _ in range(2)]
        for place, filled in _blocks(np.ravel(x)):
            found = _probe((self.scheme, self.dynamics, h, self.noise), filled)
            size = place.stop - place.start
            m, s, defect, drift = (np.asarray(a)[:size] for a in found)
            self._require_affine(np.ravel(x)[place], m, s, defect, drift)
            out[0][place], out[1][place] = m, np.abs(s)
        return out[0].reshape(x.shape), out[1].reshape(x.shape)

    def _require_affine(self, x, m, s, defect, drift) -> None:
        scale = _TOLERANCE * (np.abs(x) + np.abs(m) + np.abs(s))
        name = f"{type(self.scheme).__name__} on {type(self.dynamics).__name__}"
        # where the step overflows there is nothing to compare
        if np.any(np.isfinite(m) & (defect > scale)):
            worst = x[np.nanargmax(np.where(np.isfinite(m), defect - scale, -np.inf))]
            raise BadInput(
                f"{name}: the step is not affine in its normal variable at x = "
                f"{worst:.6g}, so the law of y given x is no Gaussian. Accepted are "
                "schemes with y' = m(y) + s(y) ξ."
            )
        if np.any(np.isfinite(m) & (drift > scale)):
            raise BadInput(f"{name}: the step depends on time; the chain must not.")


def _blocks(x: np.ndarray) -> Iterator[tuple[slice, Any]]:
    """Places and contents of blocks of one size, the last filled up."""
    for start in range(0, x.size, _BLOCK):
        part = x[start : start + _BLOCK]
        filled = np.concatenate([part, np.full(_BLOCK - part.size, part[-1])])
        yield slice(start, start + part.size), jnp.asarray(filled)


def _step(chain, x, xi, t):
    scheme, dynamics, h, noise = chain
    kick = jax.tree.map(lambda a: jnp.full_like(a, xi), noise)
    y = x[None]
    carry = scheme.init(dynamics, t, y)
    return scheme.step(dynamics, t, y, h, kick, carry).y[0]


def _affine(chain, x, zero):
    def of_normal(xi):
        return _step(chain, x, xi, zero)

    return jax.jvp(of_normal, (zero,), (jnp.ones(()),))


@eqx.filter_jit
def _probe(chain, x):
    """m, s, the distance from an affine map, and the change with time: shapes of x."""
    probes, h = jnp.asarray(_PROBES), chain[2]

    def one(x):
        zero = jnp.zeros(())
        m, s = _affine(chain, x, zero)
        moved = jax.vmap(lambda xi: _step(chain, x, xi, zero))(probes)
        defect = jnp.max(jnp.abs(moved - m - s * probes))
        return m, s, defect, jnp.abs(_step(chain, x, zero, 0.37 * h + zero) - m)

    return jax.vmap(one)(x)


def density_of(step: AffineStep, law: Law, nodes: np.ndarray) -> np.ndarray:
    """The density at the nodes one step after a law of states, shape [m].

    Raises:
        BadInput: states of another shape than [1].
    """
    require_states(law)
    chain = (step.scheme, step.dynamics, jnp.asarray(step.h), step.noise)
    out = np.empty(nodes.size)
    for place, filled in _blocks(nodes):
        found = np.asarray(_density_of(chain, law, filled))
        out[place] = found[: place.stop - place.start]
    return out


def exit_of(step: AffineStep, law: Law, box: tuple[float, float]) -> Any:
    """The probability to lie outside the box one step after a law of states.

    Raises:
        BadInput: states of another shape than [1].
    """
    require_states(law)
    chain = (step.scheme, step.dynamics, jnp.asarray(step.h), step.noise)
    return _exit_of(chain, law, jnp.asarray(box))


@eqx.filter_jit
def _density_of(chain, law, nodes):
    def density(y):
        def given(x):
            m, s = _affine(chain, x[0], jnp.zeros(()))
            pdf = jax.scipy.stats.norm.pdf((y - m) / s)
            return pdf / jnp.abs(s)

        return law.expect(given)

    return jax.vmap(density)(nodes)


@eqx.filter_jit
def _exit_of(chain, law, box):
    def outside(x):
        m, s = _affine(chain, x[0], jnp.zeros(()))
        ends = (box - m) / jnp.abs(s)
        return jnp.sum(jax.scipy.stats.norm.cdf(ends * jnp.asarray([1.0, -1.0])))

    return law.expect(outside)


def _one_normal(scheme: Scheme, dynamics: Dynamics) -> Any:
    """A zero noise of the scheme's structure, or `BadInput` unless it is one normal."""
    state = jnp.asarray(_STATE)
    name = f"{type(scheme).__name__} on {type(dynamics).__name__}"
    with on_a_line(dynamics):
        draws = scheme.noise_like(dynamics, state)
    leaves = [d for d in jax.tree.leaves(draws, is_leaf=_is_draw) if d is not None]
    good = len(leaves) == 1 and leaves[0].law == "normal"
    if not good or int(np.prod(leaves[0].shape)) != 1:
        raise BadInput(
            f"{name} draws {leaves or 'nothing'} a step; the kernel of a chain needs "
            "one standard normal, and a state of shape [1]."
        )
    require_step(dynamics, scheme, state)
    if jax.tree.leaves(scheme.init(dynamics, jnp.zeros(()), state)):
        raise BadInput(f"{name} keeps a memory: its states alone are no Markov chain.")
    return jax.tree.map(lambda d: jnp.zeros(d.shape), draws, is_leaf=_is_draw)


def _is_draw(leaf: Any) -> bool:
    return isinstance(leaf, Draw)
