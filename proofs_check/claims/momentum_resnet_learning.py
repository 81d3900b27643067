"""What momentum lets layers learn: x → -x."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from discretize.reflection import Reflection, learn_reflection
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.decide import Measurement
from proofs_check.evidence import Evidence
from proofs_check.papers import momentum_resnets


def _trained(ctx: Context, momentum: float, cap: float | None) -> Reflection:
    return ctx.compiled(
        (momentum, cap), lambda: learn_reflection(momentum, cap=cap, seed=1)
    )


def _loss(found: Reflection) -> Measurement:
    """The mean square error of the trained network; rounding alone beside it."""
    ends = np.asarray(found.net(found.points).position)
    return Measurement(
        float(np.mean((ends + np.asarray(found.points)) ** 2)), bias=1e-12
    )


def _floor(found: Reflection) -> float:
    """The mean of x²: the least error of an increasing map of symmetric points."""
    return float(np.mean(np.asarray(found.points) ** 2))


@claim(
    "momentum_resnet.reflection",
    title="Layers of slope below 1 learn x → -x with momentum, and cannot without",
    source=momentum_resnets("one-dimensional example; the bound derived here"),
    statement=r"\mathrm{Lip}\,f_n < 1,\ \gamma = 0:\ \tfrac1m\sum_i"
    r" (x_N(x_i) + x_i)^2 \ge \tfrac1m\sum_i x_i^2\ \text{(sharp)};\qquad \gamma = 0.9:"
    r"\ \text{trained to less than } 10^{-4}",
    hypotheses=(
        "64 points in [-1, 1], symmetric about 0",
        "20 layers of 8 hidden units, slopes capped at 0.9; 3000 steps of Adam",
    ),
    grade="measured",
    delta=1e-3,
    full_only=True,
    unit="mean square error",
)
def reflection(ctx: Context) -> Iterator[Evidence]:
    """Both networks trained: one above its bound, and close to it; one near 0."""
    plain = _trained(ctx, 0.0, 0.9)
    yield decide.lower_bound(
        _floor(plain), _loss(plain), delta=ctx.delta, quantity="without momentum"
    )
    yield decide.upper_bound(
        1e-4, _loss(_trained(ctx, 0.9, 0.9)), delta=ctx.delta, quantity="with momentum"
    )


@reflection.control("slopes not capped: a layer jumps, as no flow does")
def _(ctx: Context) -> Evidence:
    found = _trained(ctx, 0.0, None)
    return decide.lower_bound(_floor(found), _loss(found), delta=ctx.delta)
