"""The descent lemma: what one step of gradient descent takes off the loss."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import sympy

from discretize import OptaxStep, Training
from flows import from_sympy, iterate
from flows.symbolic import IdentityResult, equal_symbolically, exactly
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence

NESTEROV = Source(
    title="Introductory Lectures on Convex Optimization: A Basic Course",
    authors="Yurii Nesterov",
    year=2004,
    location="the gradient method on functions with Lipschitz gradient",
)


def _sgd(hyper):
    return optax.sgd(hyper["eta"])


def _lemma(bend: Any = 1) -> Evidence:
    """f⁺ - f + η(1 - ηL/2)|g|² = -(η²/2) Σ (L - λ_i) g_i², by optax's traced step."""
    eta, large = sympy.symbols("eta L", positive=True)
    x = np.array(sympy.symbols("x_0 x_1", real=True), dtype=object)
    below = sympy.symbols("s_0 s_1", nonnegative=True)  # L - λ_i
    spectrum = np.array([large - s for s in below], dtype=object)

    def change(eta, spectrum, x):
        def f(x):
            return jnp.sum(spectrum * x**2) / 2

        optimizer = optax.sgd(eta)
        update, _ = optimizer.update(jax.grad(f)(x), optimizer.init(x), x)
        return f(optax.apply_updates(x, update)) - f(x)

    found = exactly(change, eta, spectrum, x)
    slopes = spectrum * x
    gain = bend * eta * (1 - eta * large / 2) * sum(g**2 for g in slopes)
    loss = eta**2 / 2 * sum(s * g**2 for s, g in zip(below, slopes, strict=True))
    same = equal_symbolically(found + gain, -loss)
    if same.proved and not loss.is_nonnegative:
        same = IdentityResult("undecided", remainder=str(loss))
    return decide.identity(same, name="f⁺ - f + η(1 - ηL/2)|g|² = -(≥ 0)")


CURVATURE = 4.0


def _steps(learning_rate: float, delta: float) -> Evidence:
    """The largest (f⁺ - f)/(η|g|²) over runs from four starts, L = 4, 20 steps each."""
    x, y = sympy.symbols("x y", real=True)
    f = sympy.sqrt(1 + x**2) + sympy.Rational(1, 2) * int(CURVATURE) * y**2
    objective = from_sympy(f, [x, y])
    scheme = OptaxStep(_sgd, {"eta": jnp.asarray(learning_rate)})
    worst = -math.inf
    for start in ([0.0, 1.0], [2.0, 0.0], [3.0, 1.0], [-0.5, -2.0]):
        run = iterate(scheme, Training(objective), jnp.array(start), h=1.0, steps=20)
        value, slope = np.asarray(run.loss), np.asarray(run.gradient_norm)
        moved = slope[:-1] > 1e-5 * slope[0]  # below, rounding is all that is left
        ratio = np.diff(value)[moved] / (learning_rate * slope[:-1][moved] ** 2)
        worst = max(worst, float(ratio.max()))
    # f = O(1) to an ulp over |g|² > 1e-10, at the worst
    measured = decide.Measurement(worst, bias=1e-5)
    return decide.upper_bound(
        -0.5,
        measured,
        delta=delta,
        quantity="(f⁺ - f)/(η|g|²)",
        note="four starts, 20 steps each, on one loss",
    )


@claim(
    "gradient_flow.descent-lemma",
    title="A step of gradient descent lowers f by at least η(1 - ηL/2)|∇f|²",
    source=NESTEROV,
    statement=r"f(x-\eta\nabla f) \le f(x) -"
    r" \eta\bigl(1-\tfrac{\eta L}{2}\bigr)|\nabla f(x)|^2",
    hypotheses=(r"$\nabla^2 f \le L$ (proved for quadratics)",),
    grade="proved",
    delta=1e-4,
    unit="f",
)
def descent_lemma(ctx: Context) -> Evidence:
    """By optax's traced step, in the eigenbasis of the Hessian."""
    return _lemma()


@descent_lemma.control("decrease times 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    return _lemma(sympy.Rational(1001, 1000))


@descent_lemma.route("optax.sgd at η = 1/L, no quadratic", grade="measured")
def _(ctx: Context) -> Evidence:
    return _steps(1 / CURVATURE, ctx.delta)


@descent_lemma.control("learning rate 2.2/L, by optax.sgd", expected=0.1)
def _(ctx: Context) -> Evidence:
    """Above 2/L the loss grows where the curvature is L."""
    return _steps(2.2 / CURVATURE, ctx.delta)
