"""Balancedness under gradient descent and weight decay: what steps change."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import sympy

from discretize import OptaxStep, Training
from flows import (
    Facts,
    GradientFlow,
    Objective,
    balancedness,
    drift,
    iterate,
    rate_of_change,
    reference,
)
from flows.symbolic import (
    exactly,
    symbol_vector,
    symbols_like,
)
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.claims.balancedness import DU, TOLERANCES, generic_net, linear_net
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical

DERIVED = dataclasses.replace(
    DU, location="the invariant; what steps and decay change is derived here"
)


# Steps of gradient descent.


def _changed(objective, make, hyper, x, steps: int):
    """B before and after the last of some optax steps, and G at the point before."""
    step = OptaxStep(make, hyper)
    y, carry = x, step.init(None, 0.0, x)
    for _ in range(steps):
        x, (y, carry, _) = y, step.step(Training(objective), 0, y, 0, None, carry)
    slopes = objective.params(objective.gradient(x))
    before, after = (balancedness(objective.params(z)) for z in (x, y))
    return before, after, balancedness(slopes)


def flat(trees) -> Any:
    """All entries in one vector."""
    return jnp.concatenate([jnp.ravel(a) for a in jax.tree.leaves(trees)])


@claim(
    "gradient_flow.balancedness-step",
    title="A step of gradient descent adds η² times the imbalance of the gradients",
    source=DERIVED,
    statement=r"B_i(k+1) - B_i(k) = \eta^2\bigl(G_{i+1}^\top G_{i+1} -"
    r" G_i G_i^\top\bigr),\quad G_i = \partial f/\partial W_i",
    hypotheses=(r"$f = \phi(W_N\cdots W_1)$, $\phi$ differentiable",),
    grade="proved",
)
def step_identity(ctx: Context) -> Evidence:
    """A step of optax.sgd traced, 2×2 matrices, weights and loss symbols."""
    return _step_identity(optax.sgd, ctx.choose((2, 2, 2), (2, 2, 2, 2)))


def _step_identity(make, widths, steps=1, factor: float = 1) -> Evidence:
    def sides(net, eta, x):
        before, after, slopes = _changed(net, make, eta, x, steps)
        return flat(after) - flat(before), factor * eta**2 * flat(slopes)

    net = generic_net(widths)
    eta, x = sympy.Symbol("eta", positive=True), symbol_vector("x", net.size)
    found = exactly(sides, symbols_like(net), eta, x)
    return identical(*found, name="B(k+1) - B(k)")


@step_identity.control("η² times 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    return _step_identity(optax.sgd, (1, 2, 1), factor=1.001)


@step_identity.control("heavy ball, second step")
def _(ctx: Context) -> Evidence:
    momentum = functools.partial(optax.sgd, momentum=0.5)
    return _step_identity(momentum, (1, 1, 1), steps=2)


@claim(
    "gradient_flow.balancedness-drift",
    title="Over a fixed time gradient descent drifts by η times an integral",
    source=DERIVED,
    statement=r"B_i(T/\eta) - B_i(0) = \eta \int_0^T \bigl(G_{i+1}^\top G_{i+1} -"
    r" G_i G_i^\top\bigr)\,dt + O(\eta^2)",
    hypotheses=(r"$f = \phi(W_N\cdots W_1)$", r"$\eta L < 2$"),
    relation=1.0,
    grade="measured",
    delta=0.01,
    quick_delta=0.02,
    unit="|drift|/η over |integral|",
)
def step_drift(ctx: Context) -> Evidence:
    """4-5-3-4, T = 2: the leading constant against an integral along the flow."""
    rates, drifts, integral = _drifts(ctx)
    return decide.leading_constant(
        1.0, rates, drifts / integral, 1.0, delta=ctx.delta, floor=1e-13
    )


def _drifts(ctx: Context, momentum: bool = False):
    net, x = linear_net()
    rates = 0.02 * 0.5 ** np.arange(ctx.choose(5, 7))

    def measure():
        ends = []
        for eta in rates:
            run = iterate(
                OptaxStep(_momentum if momentum else optax.sgd, eta),
                Training(net),
                x,
                h=eta,
                steps=round(2.0 / eta),
                save="last",
            )
            ends.append(drift(lambda y: balancedness(net.params(y)), run, of="state"))
        return np.array([e[-1] for e in ends])

    drifts = ctx.compiled(("drifts", momentum, len(rates)), measure)
    integral = ctx.compiled("integral", lambda: gradient_imbalance(net, x, 2.0))
    return rates, drifts, float(np.linalg.norm(integral))


def _momentum(rate):
    """Heavy ball with β = 1/2, which follows the same flow: η(1-β) in time η."""
    return optax.sgd(rate / 2, momentum=0.5)


def gradient_imbalance(net, x, t1: float) -> np.ndarray:
    """∫_0^T (G_{i+1}ᵀ G_{i+1} - G_i G_iᵀ) dt along gradient flow, all entries."""

    def field(t, y, net):
        g = net.gradient(y[0])
        return -g, flat(balancedness(net.params(g)))

    zero = jnp.zeros_like(flat(balancedness(net.params(x))))
    found: Any = diffrax.diffeqsolve(
        diffrax.ODETerm(field),
        diffrax.Dopri8(),
        0.0,
        t1,
        None,
        (x, zero),
        args=net,
        stepsize_controller=diffrax.PIDController(rtol=1e-11, atol=1e-11),
    ).ys
    return np.asarray(found[1][-1])


@step_drift.control("half the integral", expected=2.0)
def _(ctx: Context) -> Evidence:
    rates, drifts, integral = _drifts(ctx)
    return decide.leading_constant(
        1.0, rates, 2 * drifts / integral, 1.0, delta=ctx.delta, floor=1e-13
    )


@step_drift.control("heavy ball along the same flow")
def _(ctx: Context) -> Evidence:
    rates, drifts, integral = _drifts(ctx, momentum=True)
    return decide.leading_constant(
        1.0, rates, drifts / integral, 1.0, delta=ctx.delta, floor=1e-13
    )


@step_drift.route("order", grade="measured")
def _(ctx: Context) -> Evidence:
    rates, drifts, _ = _drifts(ctx)
    return decide.order(1, rates, drifts, floor=1e-13)


# Weight decay.


class Decayed(Objective):
    """f(x) + (λ/2) |x|²."""

    facts: Facts
    objective: Objective
    decay: jax.Array

    @property
    def size(self) -> int:
        """That of f."""
        return self.objective.size

    def params(self, x):
        """Those of f."""
        return self.objective.params(x)

    def value(self, x, batch=None):
        """f(x) + (λ/2) |x|²."""
        return self.objective.value(x, batch) + self.decay * jnp.sum(x**2) / 2


@claim(
    "gradient_flow.balancedness-decay",
    title="Weight decay λ balances layers as e^{-2λt}",
    source=DERIVED,
    statement=r"f = \phi(W_N\cdots W_1) + \tfrac{\lambda}{2}\textstyle\sum_i|W_i|^2:"
    r"\quad B_i(t) = e^{-2\lambda t} B_i(0)",
    hypotheses=(r"$\phi$ differentiable",),
    grade="proved",
    delta=1e-6,
    quick_delta=1e-5,
    unit="largest entry of B(T) over e^{-2λT} B(0)",
)
def decay(ctx: Context) -> Evidence:
    """L B = -2λ B, 2×2 matrices, weights, loss and λ symbols."""
    return _decay(2)


def _decay(rate) -> Evidence:
    def sides(f, x):
        change = rate_of_change(GradientFlow(f), balancedness)(0.0, x)
        return change, -rate * f.decay * flat(balancedness(f.params(x)))

    f = Decayed(Facts(), generic_net((2, 2, 2)), jnp.asarray(0.5))
    found = exactly(sides, symbols_like(f), symbol_vector("x", f.size))
    return identical(*found, name="L B = -2λ B")


@decay.control("the rate λ in place of 2λ")
def _(ctx: Context) -> Evidence:
    return _decay(1)


@decay.route("decoupled decay in steps", grade="proved")
def _(ctx: Context) -> Evidence:
    """With W ← (1 - ηλ) W - η G, B(k+1) = (1 - ηλ)² B(k) + η² (…)."""

    def sides(net, eta, rate, x):
        before, after, slopes = _changed(net, _decayed_sgd, (eta, rate), x, 1)
        kept = (1 - eta * rate) ** 2 * flat(before)
        return flat(after), kept + eta**2 * flat(slopes)

    net = generic_net((2, 2, 2))
    eta, rate = sympy.symbols("eta lambda", positive=True)
    found = exactly(sides, symbols_like(net), eta, rate, symbol_vector("x", net.size))
    return identical(*found, name="B(k+1)")


def _decayed_sgd(hyper):
    eta, rate = hyper
    return optax.chain(optax.add_decayed_weights(rate), optax.sgd(eta))


def _measured_decay(ctx: Context, rate: float) -> Evidence:
    net, x = linear_net()
    flow = GradientFlow(Decayed(Facts(), net, jnp.asarray(0.3)))
    t1, ratios = 2.0, []
    first = np.asarray(flat(balancedness(net.params(x))))
    for tolerance in TOLERANCES:
        run = reference(flow, x, t1, tolerance=tolerance)
        last = np.asarray(flat(balancedness(net.params(run.states[-1]))))
        largest = int(np.argmax(np.abs(first)))
        ratios.append(last[largest] / (np.exp(-rate * 0.3 * t1) * first[largest]))
    return decide.equal(1.0, decide.ladder(ratios, condition=100.0), delta=ctx.delta)


@decay.route("three layers, 4-5-3-4", grade="measured")
def _(ctx: Context) -> Evidence:
    return _measured_decay(ctx, 2.0)


@decay.control("e^{-λt} on the three layers", expected=float(np.exp(-0.6)))
def _(ctx: Context) -> Evidence:
    return _measured_decay(ctx, 1.0)
