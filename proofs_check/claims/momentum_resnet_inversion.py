"""Momentum residual networks backwards: what rounding grows by, and the bit store."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import sympy

from discretize import (
    MomentumResNet,
    ReversibleMomentumResNet,
    StoredState,
    stored_bits,
)
from discretize.bit_store import Kept, empty_store, multiply, words_for
from flows import PhaseState
from flows.symbolic import exactly, symbol_vector
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.decide import Measurement
from proofs_check.evidence import Evidence
from proofs_check.identities import vanishing
from proofs_check.papers import momentum_resnets

GAMMA = sympy.Symbol("gamma", positive=True)


def _bent(c: Any, x: Any) -> Any:
    """A map of two variables with any slopes at any point, which is what counts."""
    x, y = x
    terms = jnp.stack([x, y, x * y])
    return jnp.stack([c[:3] @ terms, c[3:] @ terms])


@claim(
    "momentum_resnet.volume",
    title="A layer shrinks volume in (x, v) by γ^d, whatever its function",
    source=momentum_resnets("the recursion; derived here"),
    statement=r"\det\frac{\partial(x_{n+1}, v_{n+1})}{\partial(x_n, v_n)} = \gamma^d,"
    r"\quad\text{so } N \text{ inverse layers stretch some error by}\ \ge"
    r" \gamma^{-N/2}",
    hypotheses=(r"$f_n$ differentiable; $d = 2$, a generic bilinear map",),
    grade="proved",
)
def volume(ctx: Context) -> Evidence:
    """The determinant of the traced layer's Jacobian, all coefficients symbols."""

    def layer(c, gamma, x, v):
        net = MomentumResNet(lambda p, x: _bent(c, x), jnp.zeros(1), 0.0)
        return tuple(eqx.tree_at(lambda n: n.momentum, net, gamma)(x, v))

    return _determinant(layer)


def _determinant(layer) -> Evidence:
    def jacobian(c, gamma, z):
        return jax.jacfwd(lambda z: jnp.concatenate(layer(c, gamma, z[:2], z[2:])))(z)

    found = exactly(jacobian, symbol_vector("c", 6), GAMMA, symbol_vector("z", 4))
    gap = sympy.expand(sympy.Matrix(found).det(method="berkowitz") - GAMMA**2)
    return vanishing(gap, "determinant - γ²")


@volume.control("the position moved by the velocity before the layer")
def _(ctx: Context) -> Evidence:
    def layer(c, gamma, x, v):
        return x + v, gamma * v + (1 - gamma) * _bent(c, x)

    return _determinant(layer)


# How fast errors grow on the way back: log of the stretch per layer.

WAY_BACK, MOMENTUM = 20, 0.5


def _tanh(params: Any, x: Any) -> Any:
    w, b = params
    return jnp.tanh(w @ x + b)


def _linear(theta: Any, x: Any) -> Any:
    return theta * x


@eqx.filter_jit
def _inverse_jacobian(net: MomentumResNet, x: Any) -> Any:
    """The Jacobian of all layers undone, at the output of x; shape [2d, 2d]."""
    d = x.size

    def back(z):
        return jnp.concatenate(net.inverse(PhaseState(z[:d], z[d:])))

    return jax.jacfwd(back)(jnp.concatenate(net(x)))


def _stretch(ctx: Context) -> float:
    """Logarithm of the largest stretch, a layer undone."""
    rng = ctx.rng("network")
    w, b = rng.standard_normal((WAY_BACK, 4, 4)), rng.standard_normal((WAY_BACK, 4))
    net = MomentumResNet(_tanh, (jnp.asarray(w), jnp.asarray(b)), MOMENTUM)
    jacobian = _inverse_jacobian(net, jnp.asarray(rng.standard_normal(4)))
    return float(np.log(np.linalg.norm(jacobian, 2)) / WAY_BACK)


def _linear_growth(theta: float) -> Measurement:
    """Logarithm of the largest eigenvalue of one layer undone, f = θx."""
    net = MomentumResNet(_linear, jnp.full(1, theta), MOMENTUM)
    jacobian = _inverse_jacobian(net, jnp.zeros(1))
    growth = float(np.log(np.max(np.abs(np.linalg.eigvals(jacobian)))))
    return Measurement(growth, bias=1e-12)


@claim(
    "momentum_resnet.inversion-growth",
    title="Undoing layers in floats amplifies errors by γ^(-1/2) or more a layer",
    source=momentum_resnets("memory discussion; the rates derived here"),
    statement=r"\tfrac1N\log\|\partial(x_0, v_0)/\partial(x_N, v_N)\| \ge"
    r" \tfrac12\log\tfrac1\gamma,\ \text{equal for}\ f = \theta x\ \text{with complex"
    r" modes};\quad \log\tfrac1\gamma\ \text{for}\ f = 0",
    hypotheses=(
        r"$0 < \gamma < 1$",
        r"complex modes: $(1-\sqrt\gamma)^2 < -(1-\gamma)\theta < (1+\sqrt\gamma)^2$",
    ),
    grade="measured",
    delta=1e-6,
    unit="log of the amplification, a layer",
)
def inversion_growth(ctx: Context) -> Iterator[Evidence]:
    """A random network above the bound; the two linear layers at their rates."""
    half = -np.log(MOMENTUM) / 2
    found = Measurement(_stretch(ctx), bias=1e-8)
    yield decide.lower_bound(half, found, delta=ctx.delta, quantity="random network")
    growth = _linear_growth(-1.0)
    yield decide.equal(half, growth, delta=ctx.delta, quantity="complex modes")
    growth = _linear_growth(0.0)
    yield decide.equal(2 * half, growth, delta=ctx.delta, quantity="no force")


@inversion_growth.control(
    "γ^-1 a layer, as a bound for every network", expected=float(np.log(2) / 2)
)
def _(ctx: Context) -> Evidence:
    growth = _linear_growth(-1.0)
    return decide.lower_bound(-np.log(MOMENTUM), growth, delta=ctx.delta)


# The bit store.

RATIO = Fraction(9, 10)


@eqx.filter_jit
def _there(net: ReversibleMomentumResNet, x: Any) -> StoredState:
    return net.forward(x)


@eqx.filter_jit
def _back(net: ReversibleMomentumResNet, y: StoredState) -> StoredState:
    return net.inverse(y)


def _network(ctx: Context) -> tuple[ReversibleMomentumResNet, Any]:
    rng, depth, size = ctx.rng("layers"), ctx.choose(100, 1000), 4
    w = rng.standard_normal((depth, size, size))
    layers = jnp.asarray(w), jnp.asarray(rng.standard_normal((depth, size)))
    x = jnp.asarray(rng.integers(-99, 99, size) / 64)  # a multiple of 2^-48 as it is
    return ReversibleMomentumResNet(_tanh, layers, RATIO), x


def _lost(net: Any, x: Any, end: StoredState) -> float:
    """Largest difference between the layers undone and the input at rest, x."""
    start = net.state(_back(net, end))
    gaps = np.asarray(start.position - x), np.asarray(start.velocity)
    return float(np.max(np.abs(gaps)))


def _round_trip(ctx: Context, spoilt=lambda end: end) -> Evidence:
    net, x = _network(ctx)
    end = _there(net, x)
    other = _lost(net, x, end._replace(position=end.position + 1))
    return decide.exact(
        _lost(net, x, spoilt(end)),
        rounding=0.0,
        moved=other,
        delta=2.0**-48,
        unit="unit of x",
    )


@claim(
    "momentum_resnet.exact-inversion",
    title="With the store of what γ v loses the layers are undone bit for bit",
    source=momentum_resnets("memory section; the store of Maclaurin et al., 2015"),
    statement=r"(i, c) \mapsto \Bigl(\bigl\lfloor\tfrac{di + r}{n}\bigr\rfloor,"
    r"\ n\lfloor\tfrac cd\rfloor + (di + r) \bmod n\Bigr),\ r = c \bmod d,\quad"
    r" \gamma = \tfrac nd",
    hypotheses=("f is evaluated to the same bits on both ways", r"$\gamma = 9/10$"),
    grade="measured",
    delta=1e-6,
    unit="unit of x",
)
def exact_inversion(ctx: Context) -> Evidence:
    """A random tanh network there and back, in whole numbers."""
    return _round_trip(ctx)


@exact_inversion.control("the store dropped on the way")
def _(ctx: Context) -> Evidence:
    def spoilt(end):
        empty = jnp.zeros_like(end.velocity.store)
        return end._replace(velocity=end.velocity._replace(store=empty))

    return _round_trip(ctx, spoilt)


@eqx.filter_jit
def _pushed(kicks: Any, count: Any, ratio: Fraction, words: int, exchange: Any) -> Any:
    """The stores after `count` layers v ← γ v + kick, by an exchange."""
    kept = Kept(kicks[0], empty_store(words, kicks.shape[1:]))

    def layer(n, kept):
        value, store = exchange(kept, ratio)
        return Kept(value + kicks[n], store)

    return jax.lax.fori_loop(0, count, layer, kept).store


def _bits(
    ctx: Context,
    ratio: Fraction,
    exchange: Callable[..., Kept] = multiply,
    lost: Fraction | None = None,
) -> Measurement:
    """Bits a layer, from the growth between N/2 and N layers.

    A store i becomes i/q up to less than 1/q, q = γ or `lost`, so that log₂ i grows by
    log₂ a, a = 1/q, up to 1/(i ln 2); over all later layers these sum to less than
    a/((a - 1) i ln 2).
    """
    q = lost or ratio
    # 40 bits at N/2
    depth, rng = 2 * math.ceil(40 / -np.log2(float(q))), ctx.rng("kicks")
    kicks = jnp.asarray(rng.integers(-(2**40), 2**40, (depth, 4)))
    words = words_for(q, depth)
    half, full = (
        stored_bits(_pushed(kicks, count, ratio, words, exchange))
        for count in (depth // 2, depth)
    )
    a = float(1 / q)
    slip = a / (a - 1) / np.log(2) * np.max(np.exp2(-half) / (1 - np.exp2(-half)))
    found = (full - half) / (depth / 2)
    return Measurement(float(np.mean(found)), bias=float(2 * slip / depth) + 1e-12)


@claim(
    "momentum_resnet.stored-bits",
    title="Exact inversion stores log₂(1/γ) bits a layer and entry",
    source=momentum_resnets("memory section: (1 - γ) k d n; the constant derived here"),
    statement=r"\tfrac1N\log_2 i_N \to \log_2\tfrac1\gamma \approx"
    r" \tfrac{1-\gamma}{\ln 2}",
    hypotheses=(r"$\gamma = n/d$ with $n < d$ whole numbers",),
    grade="measured",
    delta=1e-3,
    unit="bits a layer",
)
def bits_stored(ctx: Context) -> Iterator[Evidence]:
    """The growth of stores of random velocities between N/2 and N layers."""
    for ratio in (RATIO, Fraction(99, 100)):
        claimed = float(-np.log2(float(ratio)))
        yield decide.equal(
            claimed, _bits(ctx, ratio), delta=ctx.delta, quantity=f"γ = {ratio}"
        )


def _side_by_side(kept: Kept, ratio: Fraction) -> Kept:
    """The store never gives a digit of base n back: n (c div d) and d i + c mod d."""
    value, store = multiply(kept, Fraction(1, ratio.denominator))
    return Kept(ratio.numerator * value, store)


@bits_stored.control(
    "remainders laid side by side: log₂ d bits a layer", expected=float(np.log2(10))
)
def _(ctx: Context) -> Evidence:
    digit = Fraction(1, RATIO.denominator)
    found = _bits(ctx, RATIO, _side_by_side, digit)
    return decide.equal(float(-np.log2(0.9)), found, delta=ctx.delta)
