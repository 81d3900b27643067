"""Momentum residual networks: layers that can be undone, in floating point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows import BadInput, MomentumResidualFlow, PhaseState
from flows.door import require_instance, require_number, require_whole
from flows.dynamics import parameter, require_range
from flows.types import Scalar, is_traced


class MomentumResNet(eqx.Module):
    r"""A residual network with momentum: layers n = 0 … N - 1.

        v ← γ v + (1 - γ) f_n(x),   x ← x + v.

    γ = 0 is the residual network x ← x + f_n(x). For γ > 0 a layer is undone without
    solving anything, x ← x - v, v ← (v - (1 - γ) f_n(x))/γ; in floating point that
    multiplies rounding errors of v by 1/γ a layer, and the volume of errors in (x, v)
    by γ^{-d}: N layers amplify some error by at least γ^{-N/2}
    (`ReversibleMomentumResNet` keeps the bits that are lost).

    In layer time it is semi-implicit Euler of step 1 on ε x'' + x' = f with ε =
    1/(1 - γ), and in depth time that of step h on `flows.MomentumResidualFlow` where
    f_n = hF, γ = 1 - h/ε (`as_momentum_resnet`), of order 1 in h.

    With f_n = -∇f it is `optax.sgd(1 - γ, momentum=γ)`, and with f_n = -h∇f that of the
    learning rate η = (1 - γ) h: the row `MOMENTUM_RESNET` of the correspondences lays
    it beside the damped flow of mass ε = h/(1 - γ), h the time of a layer.

    Reference: Sander, Ablin, Blondel and Peyré, "Momentum Residual Neural Networks",
    ICML 2021, arXiv 2102.07870.

    Attributes:
        block: f, a function (parameters of one layer, x) → f(x), of the shape of x.
        layers: the parameters of all layers, a pytree whose arrays have the leading
            axis [N]; `stack_layers` makes it from a list.
        momentum: γ in [0, 1).

    Raises:
        BadInput: a block that cannot be called, layers without a common leading axis,
            a momentum out of range.
    """

    block: Any = eqx.field(static=True)
    layers: Any
    momentum: Float[Array, ""] = eqx.field(converter=parameter, default=0.9)

    def __check_init__(self):
        require_block(self.block)
        require_number("momentum", self.momentum)
        require_range("momentum", self.momentum, 1.0)
        depth(self.layers)

    def __call__(self, x: Any, v: Any = None) -> PhaseState:
        """The output's position and velocity.

        Args:
            x: the input, an array of any shape that the block takes (a batch too).
            v: the first velocity, of the shape and precision of x; 0 if None.

        Raises:
            BadInput: x or v that are no floats or differ, a block whose values are not
                of the shape and precision of x.
        """
        return self._scan(start_of(x, v), keep=False)[0]

    def states(self, x: Any, v: Any = None) -> PhaseState:
        """Positions and velocities before each layer and after the last, [N + 1, …]."""
        start = start_of(x, v)
        kept = self._scan(start, keep=True)[1]
        return jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), start, kept)

    def _scan(self, start: PhaseState, keep: bool):
        require_values(self.block, self.layers, start.position)
        gamma = self.momentum.astype(start.position.dtype)

        def layer(y, params):
            x, v = y
            v = gamma * v + (1 - gamma) * self.block(params, x)
            y = PhaseState(x + v, v)
            return y, y if keep else None

        return scan_layers(layer, start, self.layers)

    def inverse(self, y: Any) -> PhaseState:
        """The input of which y is the output, up to amplified rounding errors.

        Args:
            y: a `PhaseState`, as the network returns it.

        Raises:
            BadInput: momentum 0, where nothing is kept to go back by; no `PhaseState`,
                or one that a network refuses as its start.
        """
        require_instance(y, PhaseState, "y is a PhaseState, as the network returns it")
        if not is_traced(self.momentum) and not np.all(self.momentum > 0):
            raise BadInput("a residual network without momentum has no such inverse.")
        y = start_of(*y)
        require_values(self.block, self.layers, y.position)
        gamma = self.momentum.astype(y.position.dtype)

        def layer(y, params):
            x, v = y
            x = x - v
            v = (v - (1 - gamma) * self.block(params, x)) / gamma
            return PhaseState(x, v), None

        return scan_layers(layer, y, self.layers, reverse=True)[0]

    @property
    def mass(self) -> Any:
        """ε = 1/(1 - γ), in layers, of the flow whose step of time 1 is a layer."""
        return 1 / (1 - self.momentum)


def as_momentum_resnet(
    flow: MomentumResidualFlow, steps: int, time: Scalar = 1.0
) -> MomentumResNet:
    r"""The network of N layers that is semi-implicit Euler on a flow: h = T/N.

    f_n(x) = h F(nh, x) and γ = 1 - h/ε; a velocity of the network is h times one of
    the flow.

    Args:
        flow: ε x'' + x' = F(t, x).
        steps: the number N of layers.
        time: T > 0 (the flow's unit); h <= ε, so that γ >= 0.

    Raises:
        BadInput: no such flow, no layer, or layers too few for the mass.
    """
    require_instance(flow, MomentumResidualFlow, "flow is a MomentumResidualFlow")
    require_whole("steps", steps)
    require_number("time", time, positive=True)
    h = jnp.asarray(time, float) / steps
    gamma = 1 - h / flow.mass
    if not is_traced(gamma) and gamma < 0:
        raise BadInput(
            f"layers of time h = {float(h):.4g} above the mass {float(flow.mass):.4g} "
            "would need a negative momentum 1 - h/ε; take more layers."
        )
    field, static = eqx.partition(flow.field, eqx.is_array)
    every = jax.tree.map(lambda a: jnp.broadcast_to(a, (steps, *a.shape)), field)
    times = h * jnp.arange(steps, dtype=h.dtype)
    return MomentumResNet(_Sampled(static), (times, jnp.full(steps, h), every), gamma)


class _Sampled:
    """h F(t, x), with t, h and the arrays of F for parameters; compared by F."""

    def __init__(self, static: Any) -> None:
        self.leaves, self.treedef = jax.tree.flatten(static)

    def __call__(self, params: Any, x: Any) -> Any:
        t, h, arrays = params
        static = jax.tree.unflatten(self.treedef, self.leaves)
        t, h = t.astype(x.dtype), h.astype(x.dtype)
        return h * eqx.combine(arrays, static)(t, x)

    def __eq__(self, other: Any) -> bool:
        same = isinstance(other, _Sampled) and self.treedef == other.treedef
        return same and self.leaves == other.leaves

    def __hash__(self) -> int:
        return hash((tuple(self.leaves), self.treedef))


def stack_layers(layers: Sequence[Any]) -> Any:
    """The layers' pytrees as one, their arrays stacked along a new leading axis.

    What is no array (an activation function) must be the same in all layers.

    Raises:
        BadInput: no layer, or layers that differ in more than their numbers.
    """
    if not len(layers):
        raise BadInput("a network has at least one layer.")
    arrays, rest = zip(*(eqx.partition(p, eqx.is_array) for p in layers), strict=True)
    try:
        same = all(bool(eqx.tree_equal(rest[0], other)) for other in rest)
        stacked = jax.tree.map(lambda *a: jnp.stack(a), *arrays)
    except (ValueError, TypeError) as error:
        raise BadInput(f"layers of one structure and one shape: {error}") from None
    if not same:
        raise BadInput("layers differ in something that is no array.")
    return eqx.combine(stacked, rest[0])


def depth(layers: Any) -> int:
    """The number N of layers, the length of the leading axis of all arrays.

    Raises:
        BadInput: no array, or arrays of different lengths.
    """
    arrays = jax.tree.leaves(eqx.filter(layers, eqx.is_array))
    lengths = {np.shape(a)[:1] for a in arrays}
    if len(lengths) != 1 or lengths == {()}:
        raise BadInput(
            "layers hold arrays with one common leading axis, the layers' own; got "
            f"shapes {[np.shape(a) for a in arrays]} (see stack_layers)."
        )
    return lengths.pop()[0]


def start_of(x: Any, v: Any) -> PhaseState:
    """The state at the first layer; the velocity 0 where it is None.

    Raises:
        BadInput: no array of floats, a velocity of another shape or precision than the
            position's.
    """
    x = _floats("x", x)
    v = jnp.zeros_like(x) if v is None else _floats("v", v)
    if v.shape != x.shape or v.dtype != x.dtype:
        raise BadInput(
            f"a velocity has the shape {x.shape} and the dtype {x.dtype} of x; got "
            f"{v.shape}, {v.dtype}."
        )
    return PhaseState(x, v)


def _floats(name: str, value: Any) -> Any:
    try:
        array = jnp.asarray(value)
    except (TypeError, ValueError):
        raise BadInput(f"{name} is an array of floats; got {value!r:.60}.") from None
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise BadInput(f"{name} is an array of floats; got dtype {array.dtype}.")
    return array


def scan_layers(layer: Any, carry: Any, layers: Any, reverse: bool = False) -> Any:
    """`jax.lax.scan` over the layers, what is no array put back into each."""
    arrays, static = eqx.partition(layers, eqx.is_array)
    return jax.lax.scan(
        lambda carry, params: layer(carry, eqx.combine(params, static)),
        carry,
        arrays,
        reverse=reverse,
    )


def require_values(block: Any, layers: Any, x: Any) -> None:
    """Refuse a block whose values are not arrays like x; nothing is computed.

    Raises:
        BadInput: values of another shape (a number would be spread over x) or precision
            (parameters in float64 beside x in float32).
    """
    arrays, static = eqx.partition(layers, eqx.is_array)
    first = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), arrays)
    found = jax.eval_shape(lambda p, x: block(eqx.combine(p, static), x), first, x)
    got = getattr(found, "shape", None), getattr(found, "dtype", None)
    if got != (x.shape, x.dtype):
        raise BadInput(
            f"block gives f(x) of the shape {x.shape} and the dtype {x.dtype} of x; "
            f"got {found!r:.80}."
        )


def require_block(block: Any) -> None:
    """Refuse what is no function of a layer's parameters and x.

    Raises:
        BadInput: with what came instead.
    """
    if not callable(block):
        raise BadInput(
            f"block is a function (parameters, x) -> f(x); got {block!r:.60}."
        )
