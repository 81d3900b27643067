"""Momentum residual networks whose layers are undone bit for bit."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from discretize.bit_store import (
    Kept,
    as_ratio,
    divide,
    empty_store,
    multiply,
    words_for,
)
from discretize.momentum_resnet import (
    depth,
    require_block,
    require_values,
    scan_layers,
    start_of,
)
from flows import BadInput, PhaseState
from flows.door import require_instance, require_whole

# (whole number, bits after the point): a range of ±2^14 to 3.6e-15 in float64, of ±2^8
# to 2.4e-7 in float32
_FIXED = {"float64": (jnp.int64, 48), "float32": (jnp.int32, 22)}
# bits of the whole number that are not after the point, at least: a range of ±4, the
# sign, and one for the sum of two
_AHEAD = 4


class StoredState(NamedTuple):
    """A position and a velocity in fixed point, with what the layers have lost.

    Attributes:
        position: x, integers in units of 2^-bits.
        velocity: v, the same, and the store of its remainders.
        fits: whether all numbers so far were within the range of the fixed point.
    """

    position: Int[Array, "..."]
    velocity: Kept
    fits: Bool[Array, ""]


class ReversibleMomentumResNet(eqx.Module):
    r"""`MomentumResNet` in fixed point, with an exact inverse and gradients by it.

        v ← γ v + (1 - γ) f_n(x),   x ← x + v,

    with x and v whole multiples of 2^-b. What γ v loses, log₂(1/γ) bits a layer and
    entry, goes into a store (`discretize.bit_store`), so that `inverse` of `forward` is
    the input, bit for bit. The gradient runs the layers backwards in place of keeping
    them: its memory is the store's, N log₂(1/γ) bits for each entry of x, against 64 N
    for the activations alone. It is that of the recursion without rounding.

    f_n is evaluated at the very same numbers on both ways, behind barriers so that it
    is compiled alike. Whether that succeeded is seen: a gradient whose way back did
    not end at the input with an empty store is NaN, and so is an output on whose way x,
    v or (1 - γ) f left the range of the fixed point: ±2^{62-b} in float64 and ±2^{30-b}
    in float32, which for the default b is ±2^14 and ±2^8.

    Reference: Sander, Ablin, Blondel and Peyré, ICML 2021, arXiv 2102.07870; the store
    is that of Maclaurin, Duvenaud and Adams, ICML 2015, arXiv 1502.03492.

    Attributes:
        block: f, a function (parameters of one layer, x) → f(x), of the shape and
            precision of x.
        layers: parameters of all layers, arrays with the leading axis [N].
        momentum: γ in (0, 1), a ratio of whole numbers up to 1000 such as 0.9; static,
            for the size of the store depends on it.
        bits: b, whole, 1 to 60 in float64 and 1 to 28 in float32, so that the range is
            at least ±4; by default 48 and 22.

    Raises:
        BadInput: another momentum, layers without a common axis, bits that leave no
            room for the range.
    """

    block: Any = eqx.field(static=True)
    layers: Any
    momentum: Fraction = eqx.field(static=True, converter=as_ratio, default=0.9)
    bits: int | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        require_block(self.block)
        depth(self.layers)
        if self.bits is not None:
            require_whole("bits", self.bits, 1, 64 - _AHEAD)

    def __call__(self, x: Any, v: Any = None) -> PhaseState:
        """The output's position and velocity; differentiable in x, v and the layers.

        Args:
            x: the input, float32 or float64, any shape that the block takes.
            v: the first velocity, of the shape and precision of x; 0 if None.

        Raises:
            BadInput: as `MomentumResNet`; another precision; more bits than it has.
        """
        start = start_of(x, v)
        return _run((self.layers, start), _with_layers(self, None))

    def forward(self, x: Any, v: Any = None) -> StoredState:
        """The output in fixed point with its store."""
        x, v = start_of(x, v)
        require_values(self.block, self.layers, x)
        words = words_for(self.momentum, depth(self.layers))
        velocity = Kept(self._fixed(v), empty_store(words, x.shape))
        start = StoredState(self._fixed(x), velocity, self._within(x, v))

        def layer(y, params):
            f, fits = self._kick(params, y.position, x.dtype)
            value, store = multiply(y.velocity, self.momentum)
            value = value + f
            position = y.position + value
            # the velocity too: beyond the range its next sum would wrap around, and a
            # position that wraps may come to lie within it again
            moved = (self._real(a, x.dtype) for a in (position, value))
            fits = fits & y.fits & self._within(*moved)
            return StoredState(position, Kept(value, store), fits), None

        return scan_layers(layer, start, self.layers)[0]

    def inverse(self, y: Any) -> StoredState:
        """The input that `forward` began with, bit for bit, its store empty.

        Args:
            y: a `StoredState`, as `forward` returns it.

        Raises:
            BadInput: no `StoredState`.
        """
        require_instance(y, StoredState, "y is a StoredState, as `forward` returns it")
        dtype = jnp.float64 if y.position.dtype == jnp.int64 else jnp.float32

        def layer(y, params):
            return self._before(params, y, dtype), None

        return scan_layers(layer, y, self.layers, reverse=True)[0]

    def state(self, y: StoredState) -> PhaseState:
        """Position and velocity as floats; NaN where the range was left."""
        dtype = jnp.float64 if y.position.dtype == jnp.int64 else jnp.float32
        return PhaseState(
            *(
                jnp.where(y.fits, self._real(a, dtype), jnp.nan)
                for a in (y.position, y.velocity.value)
            )
        )

    def _before(self, params, y: StoredState, dtype) -> StoredState:
        """The state one layer earlier."""
        value, store = y.velocity
        position = y.position - value
        f, _ = self._kick(params, position, dtype)
        return StoredState(
            position, divide(Kept(value - f, store), self.momentum), y.fits
        )

    def _kick(self, params, position, dtype) -> tuple[Any, Any]:
        """(1 - γ) f(x) in fixed point, the same bits wherever it is evaluated."""
        arrays, static = eqx.partition(params, eqx.is_array)
        at = (arrays, self._real(position, dtype))
        arrays, x = jax.lax.optimization_barrier(at)
        f = self.block(eqx.combine(arrays, static), x)
        f = jax.lax.optimization_barrier(f)
        kick = f * float(1 - self.momentum)
        return self._fixed(kick), self._within(kick)

    def _precision(self, dtype) -> tuple[Any, int]:
        name = jnp.dtype(dtype).name
        if name not in _FIXED:
            raise BadInput(f"x is float32 or float64; got {name}.")
        integer, bits = _FIXED[name]
        if self.bits is not None:
            bits = self.bits
            require_whole(f"bits for {name}", bits, 1, jnp.iinfo(integer).bits - _AHEAD)
        return integer, bits

    def _fixed(self, x: Any) -> Any:
        integer, bits = self._precision(x.dtype)
        return jnp.round(x * 2.0**bits).astype(integer)

    def _real(self, whole: Any, dtype: Any) -> Any:
        return whole.astype(dtype) * 2.0 ** -self._precision(dtype)[1]

    def _within(self, *arrays: Any) -> Any:
        """Whether all are so small that sums of two stay below the largest integer."""
        integer, bits = self._precision(arrays[0].dtype)
        limit = 2.0 ** (jnp.iinfo(integer).bits - 2 - bits)
        inside = jnp.asarray(True)
        for a in arrays:
            inside &= jnp.all(jnp.abs(a) < limit)
        return inside


def _with_layers(net: Any, layers: Any) -> Any:
    """The network with these layers; None where they are differentiated, and apart."""
    return eqx.tree_at(lambda n: n.layers, net, layers, is_leaf=lambda a: a is None)


@eqx.filter_custom_vjp
def _run(moving, net: Any) -> PhaseState:
    layers, start = moving
    net = _with_layers(net, layers)
    return net.state(net.forward(*start))


@_run.def_fwd
def _(perturbed, moving, net):
    del perturbed
    layers, start = moving
    net = _with_layers(net, layers)
    end = net.forward(*start)
    return net.state(end), end


@_run.def_bwd
def _(end, cotangent, perturbed, moving, net):
    """Back through the layers: the state by the inverse, the slopes by each vjp.

    With a and b the slopes in x and v after a layer, those before it are a + (1 - γ)
    J^T (a + b) and γ (a + b).
    """
    del perturbed
    layers, start = moving
    gamma = float(net.momentum)
    dtype = start.position.dtype
    zeros = jnp.zeros_like(start.position)
    a, b = (zeros if c is None else c for c in cotangent)

    def layer(carry, params):
        y, a, b = carry
        y = net._before(params, y, dtype)
        moving, fixed = eqx.partition(params, eqx.is_inexact_array)
        x = net._real(y.position, dtype)
        _, pull = jax.vjp(lambda p, x: net.block(eqx.combine(p, fixed), x), moving, x)
        both = a + b
        slope, through = pull((1 - gamma) * both)
        return (y, a + through, gamma * both), slope

    (y, a, b), slopes = scan_layers(layer, (end, a, b), layers, reverse=True)
    arrived = jnp.all(y.position == net._fixed(start.position))
    arrived &= jnp.all(y.velocity.value == net._fixed(start.velocity))
    arrived &= jnp.all(y.velocity.store == 0) & y.fits
    slopes, a, b = jax.tree.map(
        lambda s: jnp.where(arrived, s, jnp.nan), (slopes, a, b)
    )
    return slopes, PhaseState(a, b)
