"""Stochastic modified equations of SGD: weak orders on the circle, no sampling."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from discretize import (
    CircleGrid,
    PolynomialGrid,
    StochasticGradient,
    chain_expectation,
    weak_errors,
)
from discretize.weak_operator import SIGNS
from flows import Flow, GradientFlow, from_sympy
from flows.problems import quadratic
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.papers import stochastic_modified_equations
from sde import Diffusion, FactorNoise, StochasticModifiedEquation, moment_equations

SECOND = (
    r"dX = -\nabla\bigl(f + \tfrac h4|\nabla f|^2\bigr)dt + \sqrt h\,\Sigma^{1/2}dB"
)
WEAK = r"\mathbb{E}\,\varphi(x_k) - \mathbb{E}\,\varphi(X_{kh}) = O(h^{%d})"


class Scaled(Diffusion):
    """A modified equation with its drift, its h-term and its noise rescaled."""

    model: StochasticModifiedEquation
    drift: jax.Array
    correction: jax.Array
    spread: jax.Array

    @property
    def objective(self) -> Any:
        """The model's."""
        return self.model.objective

    @property
    def gradient_noise(self) -> Any:
        """The model's."""
        return self.model.gradient_noise

    def vector_field(self, t, y):
        """-a ∇f, plus b times what is beyond it."""
        plain = -self.objective.gradient(y)
        beyond = self.model.vector_field(t, y) - plain
        return self.drift * plain + self.correction * beyond

    def brownian(self, y):
        """The model's."""
        return self.model.brownian(y)

    def noise(self, t, y, dw):
        """The model's, times a number."""
        return self.spread * self.model.noise(t, y, dw)


def scaled(model, drift=1.0, correction=1.0, spread=1.0) -> Scaled:
    """The model with its gradient drift, its h-term and its noise times numbers."""
    return Scaled(model, *(jnp.asarray(a) for a in (drift, correction, spread)))


@functools.cache
def landscape() -> Any:
    """F with f' = sin x + 0.3 sin 2x."""
    import sympy as sp

    x = sp.Symbol("x", real=True)
    return from_sympy(-sp.cos(x) - sp.Rational(3, 20) * sp.cos(2 * x), [x])


def spread(x):
    """s(x), the standard deviation of the gradient's noise."""
    return 0.8 + 0.3 * jnp.cos(x)


NOISE = FactorNoise(spread, "sign")
START, TIME = 0.7, 1.0


def _functions(x):
    """Test functions sin x, cos x, cos 3x."""
    return np.stack([np.sin(x), np.cos(x), np.cos(3 * x)], axis=1)


FLOOR = 5e-11
"""Rounding of e^{TL} and of the powers, by the change from 65 to 97 nodes."""
NAMES = ("sin x", "cos x", "cos 3x")


def sme(order: int, **factors) -> Callable[[Any], Flow]:
    """H -> the modified equation of this order on the circle, rescaled."""

    def process(h):
        model = StochasticModifiedEquation(landscape(), NOISE, h, order)
        return scaled(model, **factors) if factors else model

    return process


def gradient_flow(h):
    """Gradient flow, whatever h."""
    del h
    return GradientFlow(landscape())


def errors_on_circle(process, levels: int, nodes: int = 65):
    """Steps h, and the weak errors of SGD at these, shape [levels, functions]."""
    hs = 0.05 * 0.5 ** np.arange(levels)
    errors = weak_errors(
        StochasticGradient(NOISE),
        GradientFlow(landscape()),
        process,
        _functions,
        START,
        t1=TIME,
        hs=hs,
        law=SIGNS,
        grid=CircleGrid(nodes),
    )
    return hs, errors


def _order(p: int, process, which: int = 0) -> Evidence:
    hs, errors = errors_on_circle(process, 6)
    return decide.order(
        p, hs, np.abs(errors[:, which]), floor=FLOOR, quantity=NAMES[which]
    )


CIRCLE = (
    r"on the circle: $f' = \sin x + 0.3\sin 2x$, "
    r"$\nabla f_\gamma = f' \pm (0.8 + 0.3\cos x)$",
    r"one test function $\sin x$ (also $\cos x$, $\cos 3x$ at effort full)",
    r"start $0.7$, $T = 1$",
)


def _orders(ctx: Context, p: int, process) -> Iterator[Evidence]:
    for which in range(ctx.choose(1, 3)):
        yield _order(p, process, which)


@claim(
    "sde_models.sgd-order-1",
    title="The first stochastic modified equation follows SGD to weak order 1",
    source=stochastic_modified_equations("weak approximation of order 1"),
    statement=r"dX = -\nabla f\,dt + \sqrt h\,\Sigma^{1/2}dB:\quad " + WEAK % 1,
    hypotheses=CIRCLE,
    grade="measured",
    delta=0.75,
    unit="order in h (time unit: 1/curvature)",
)
def sgd_order_1(ctx: Context) -> Iterator[Evidence]:
    """Powers of SGD's expectation operator against e^{TL}, no sampling."""
    yield from _orders(ctx, 1, sme(1))


@sgd_order_1.control("the drift times 1.1", expected=0.0)
def _(ctx: Context) -> Evidence:
    return _order(1, sme(1, drift=1.1))


@sgd_order_1.control("the order of the second equation", expected=2.0)
def _(ctx: Context) -> Evidence:
    return _order(1, sme(2))


@sgd_order_1.route("gradient flow is of order 1 too", grade="measured")
def _(ctx: Context) -> Evidence:
    """Noise enters the moments with h, so the flow without it has order 1."""
    return _order(1, gradient_flow)


@claim(
    "sde_models.sgd-order-2",
    title="The second stochastic modified equation follows SGD to weak order 2",
    source=stochastic_modified_equations("weak approximation of order 2"),
    statement=SECOND + r":\quad " + WEAK % 2,
    hypotheses=CIRCLE,
    grade="measured",
    delta=0.75,
    unit="order in h (time unit: 1/curvature)",
)
def sgd_order_2(ctx: Context) -> Iterator[Evidence]:
    """Powers of SGD's expectation operator against e^{TL}, no sampling."""
    yield from _orders(ctx, 2, sme(2))


WRONG = {
    "the drift coefficient doubled, (h/2)|∇f|²": sme(2, correction=2.0),
    "the sign of the drift's h-term flipped": sme(2, correction=-1.0),
    "no noise": sme(2, spread=0.0),
    "noise of twice the size": sme(2, spread=2.0),
    "gradient flow": gradient_flow,
    "the first equation": sme(1),
}


def _wrong(name: str) -> None:
    @sgd_order_2.control(name, expected=1.0)
    def _(ctx: Context) -> Evidence:
        return _order(2, WRONG[name])


for _name in WRONG:
    _wrong(_name)


class _Line(eqx.Module):
    """s + r x."""

    s: float = 0.6
    r: float = 0.3

    def __call__(self, x):
        """The standard deviation of the gradient's noise at x."""
        return self.s + self.r * x


def _linear_errors(order: int, power: int):
    """E x^power of SGD on x²/2 with noise ±(s + r x), less that of its equation."""
    from scipy.linalg import expm

    f, noise, x = quadratic([1.0]), FactorNoise(_Line(), "sign"), jnp.array([1.5])
    hs, errors = 0.1 * 0.5 ** np.arange(6), []
    for h in hs:
        steps = round(1 / h)
        exact = chain_expectation(
            PolynomialGrid(((-2.0, 2.0),), (2,)),  # exact: the step is linear in x
            StochasticGradient(noise),
            GradientFlow(f),
            x,
            lambda p: p[:, 0] ** power,
            h=h,
            steps=steps,
            law=SIGNS,
        )
        model = StochasticModifiedEquation(f, noise, h, order)
        system = moment_equations(model, 2, y=x, route="numeric")
        block = np.block([[system.matrix, system.forcing[:, None]], [np.zeros((1, 3))]])
        moments = expm(block) @ np.array([1.5, 1.5**2, 1.0])
        errors.append(float(exact - moments[system.row(power)]))
    return hs, np.array(errors)


@sgd_order_2.route("exact moments, linear gradient", grade="measured")
def _(ctx: Context) -> Iterator[Evidence]:
    """Moment recursion against the moment equations' matrix exponential."""
    for power in (1, 2):
        hs, errors = _linear_errors(2, power)
        yield decide.order(2, hs, np.abs(errors), floor=1e-11, quantity=f"E x^{power}")


@sgd_order_2.control("linear gradient, the first equation", expected=1.0)
def _(ctx: Context) -> Evidence:
    hs, errors = _linear_errors(1, 1)
    return decide.order(2, hs, np.abs(errors), floor=1e-11)
