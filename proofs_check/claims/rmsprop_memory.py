"""The clock of RMSProp's memory: an exponential average as implicit Euler."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from flows.central import CentralState, RMSProp, StableFlow
from flows.problems import wavy
from flows.symbolic import exactly, symbol_vector
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.claims.central_flow_algebra import CENTRAL, positive
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical


def _one_update(eta, b2, nu, g):
    """What optax's state and update, and the rule, say of one step from ν."""
    optimiser = optax.rmsprop(eta, decay=b2, eps=0.0)
    state: Any = optimiser.init(g)
    state = (state[0]._replace(nu=nu), *state[1:])
    step, after = optimiser.update(g, state)
    memory: Any = after
    return step, memory[0].nu


@claim(
    "central_flow.ema-implicit-euler",
    title="RMSProp is implicit Euler in ν, κ = (1 - β₂)/β₂, then explicit Euler in w",
    source=CENTRAL,
    statement=r"\nu_k = \beta_2\nu_{k-1} + (1-\beta_2)g_k^2 \iff"
    r" \nu_k - \nu_{k-1} = \kappa\,(g_k^2 - \nu_k),\quad"
    r"\kappa = \frac{1-\beta_2}{\beta_2};\quad"
    r" w_{k+1} - w_k = -P(\nu_k)^{-1}g_k",
    hypotheses=(r"$0 < \beta_2 < 1$", r"$\epsilon = 0$; $\nu_k > 0$"),
    grade="proved",
    delta=1e-3,
)
def ema_implicit_euler(ctx: Context) -> Evidence:
    """One step of optax.rmsprop traced against the rule's rate and preconditioner."""
    return _memory(lambda rule, b2: rule.kappa)


def _memory(kappa) -> Evidence:
    (eta, r) = positive("eta r")
    nu, g = symbol_vector("nu", 2, positive=True), symbol_vector("g", 2)

    def difference(eta, b2, nu, g):
        rule = RMSProp(eta, b2)
        step, new = _one_update(eta, b2, nu, g)
        rate = rule.memory_rate(new, rule.square(g, g)) / rule.kappa * kappa(rule, b2)
        moved = step + g / rule.preconditioner(0.0, new)
        return jnp.concatenate([new - nu - rate, moved])

    found = exactly(difference, eta, 1 / (1 + r), nu, g)
    zero = np.zeros(found.shape, dtype=int).astype(object)
    return identical(found, zero, "optax.rmsprop = implicit, explicit Euler")


@ema_implicit_euler.control("κ = 1 - β₂")
def _(ctx: Context) -> Evidence:
    return _memory(lambda rule, b2: 1 - b2)


STEPS, RATE, DECAY = 300, 0.01, 0.95


def _euler_run(objective, eta, b2, kappa, x):
    """Implicit Euler in ν and explicit Euler in w on the stable flow's field."""
    flow = StableFlow(objective, RMSProp(eta, b2))
    memory = flow.start(x).memory * 0

    def step(state, _):
        x, nu = state
        square = objective.gradient(x) ** 2
        nu = (nu + kappa * square) / (1 + kappa)
        velocity = flow.vector_field(0.0, CentralState(x, nu)).position
        return (x + velocity, nu), x + velocity

    return jax.lax.scan(step, (x, memory), None, length=STEPS)[1]


def _optax_run(objective, eta, b2, x):
    optimiser = optax.rmsprop(eta, decay=b2, eps=0.0)

    def step(state, _):
        x, memory = state
        update, memory = optimiser.update(objective.gradient(x), memory)
        return (x + update, memory), x + update

    return jax.lax.scan(step, (x, optimiser.init(x)), None, length=STEPS)[1]


def _runs_agree(ctx: Context, kappa) -> Evidence:
    """Distance of the two runs, against rounding and a run with κ moved by delta."""
    objective = wavy()
    euler = ctx.compiled("euler", lambda: eqx.filter_jit(_euler_run))
    plain = ctx.compiled("optax", lambda: eqx.filter_jit(_optax_run))
    x = np.array([1.2, 0.8])
    run = np.asarray(plain(objective, RATE, DECAY, x))
    rng, changes = ctx.rng("ulp"), []
    for _ in range(8):
        nudged = np.nextafter(x, x + rng.choice([-1.0, 1.0], 2))
        other = np.asarray(plain(objective, RATE, DECAY, nudged))
        changes.append(decide.relative_distance(other, run).max())

    def distance(kappa):
        path = np.asarray(euler(objective, RATE, DECAY, kappa, x))
        return decide.relative_distance(path, run)

    right = (1 - DECAY) / DECAY
    return decide.exact(
        distance(kappa),
        rounding=decide.rounding_allowance(changes),
        moved=float(distance(right * (1 + ctx.delta)).max()),
        delta=ctx.delta,
        note=f"{STEPS} steps, β₂ = {DECAY}, η = {RATE}",
    )


@ema_implicit_euler.route("300 steps beside optax", grade="measured")
def _(ctx: Context) -> Evidence:
    return _runs_agree(ctx, (1 - DECAY) / DECAY)


@ema_implicit_euler.control("300 steps with κ = 1 - β₂")
def _(ctx: Context) -> Evidence:
    return _runs_agree(ctx, 1 - DECAY)
