# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Losing momentum: SGD with momentum as a switching flow
#
# SGD with momentum looks at one minibatch $i_k$ at a time. Let the step tend to 0 but
# keep the minibatches: what remains is a flow that *switches* between losses $f_i$ at
# random times,
# $$\dot x = v,\qquad m(t)\,\dot v = -\nabla f_{I(t)}(x) - \alpha v,$$
# with $I(t)$ a label that a clock of rate $\gamma(t)$ redraws. Between rings it is a
# ball of mass $m$ in a syrup of friction $\alpha$. Two things can be turned down with
# time: the noise ($\gamma$ grows, so the losses average out), and the momentum ($m$
# falls). Jin, Latz, Liu and Scagliotti call the second *losing momentum* (JMLR 2025).

# %%
import jax

jax.config.update("jax_enable_x64", True)  # theory wants float64: first cell

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import discretize
import flows
import sde
from discretize import figures
from proofs_check import check

# %% [markdown]
# ## 1. One path
#
# Two parabolas with minima at $\pm1$; the label says which one pulls. What to see: the
# overdamped path turns a corner at each ring, the heavy one swings on.

# %%
losses = flows.quadratic_sum([[1.0], [-1.0]])
index = sde.UniformIndex(2, rate=0.5)
heavy = sde.StochasticGradientMomentumProcess(losses, index, mass=2.0)
light = sde.zero_mass(heavy)

jumps = {"scheme": sde.ExactJumps(), "h": 0.05, "t1": 20.0, "key": 4, "paths": 1}
x0, v0, label = jnp.array([2.0]), jnp.zeros(1), jnp.asarray(0)
runs = [
    sde.simulate(light, sde.SwitchingState(x0, label), save="all", **jumps),
    sde.simulate(heavy, sde.SwitchingMomentumState(x0, v0, label), save="all", **jumps),
]

fig, axes = plt.subplots(2, 1, figsize=(7, 3.6), sharex=True, layout="constrained")
for ax, run, name in zip(axes, runs, ("no momentum", "mass 2"), strict=True):
    x = np.asarray(run.states.position)[:, 0, 0]
    target = 1.0 - 2.0 * np.asarray(run.states.label)[:, 0]
    ax.step(run.times, target, color="0.75", where="post", label="$a_I$")
    ax.plot(run.times, x, label=name)
    ax.set(ylabel="$x$")
    ax.legend(frameon=False, loc="upper right")
axes[-1].set(xlabel="time $t$")
plt.show()

# %% [markdown]
# ## 2. Slower noise, lost mass
#
# With a mass that falls like $1/(1 + t)$ and a clock that speeds up like $1 + t$, the
# mean square distance to the minimiser falls like $1/r(t)$, the relaxation rate of the
# label. Losing the mass alone does not help: at a constant rate the noise stays. The
# claim below solves the moment equations, which the generator gives; both controls
# must fail, at the values that they then ought to have.

# %%
check("pdmp.losing-momentum")

# %% [markdown]
# ## 3. What momentum is for, and why to lose it
#
# What to see: momentum carries the path over a barrier that gradient flow never
# crosses. Kept, it also carries some of them back.

# %%
fig, numbers = figures.losing_momentum()
plt.show()
print(numbers.caption)

# %% [markdown]
# ## 4. The optimiser that it is
#
# A semi-implicit step of time $h$ of the flow *is* `optax.sgd` with momentum, exactly:
# $\beta = m/(m + \alpha h)$ and $\eta = h^2/(m + \alpha h)$. The map goes both ways;
# whatever the mass, $\eta/(1 - \beta) = h/\alpha$.

# %%
step = discretize.from_heavy_ball(learning_rate=0.1, momentum=0.9)
print(f"optax.sgd(0.1, momentum=0.9): h = {step.h:.3g}, mass = {step.mass:.3g}")
back = discretize.to_heavy_ball(step.h, step.mass)
print(f"and back: {back.learning_rate:.3g}, {back.momentum:.3g}")

# %% [markdown]
# So losing momentum is a schedule: $\beta_k$ falls to 0 while the learning rate
# *rises*, to that of plain SGD. There is a trap. The trace of optax is no displacement,
# so what it must be fed is $\beta_k\,\eta_{k-1}/\eta_k$, not $\beta_k$.

# %%
mass, h = flows.PowerSchedule(step.mass, 20.0, -1.0), 1.0  # halved at t = 20
schedules = discretize.momentum_schedules(mass, h)
print("step     eta_k   momentum fed to optax")
for k in (0, 20, 100, 500):
    print(f"{k:4d} {schedules.learning_rate(k):9.4f} {schedules.momentum(k):9.4f}")

# %% [markdown]
# ## 5. On real data
#
# Images of the digits 0, 1 and 2, a small network, minibatches of 20 out of 200. Three
# optimisers with the same $h$: one keeps its momentum, one loses it, one has none.

# %%
objective, params = flows.problems.small_digits()
rows, batch, steps = 200, 20, 400
order = np.random.default_rng(0).permuted(np.tile(np.arange(rows), (40, 1)), axis=1)
batches = jnp.asarray(order.reshape(steps, batch))


def train(optimizer):
    """Mean loss over all rows, before each step."""

    def one(carry, rows):
        x, state = carry
        updates, state = optimizer.update(objective.gradient(x, rows), state)
        return (optax.apply_updates(x, updates), state), objective.value(x)

    x = objective.ravel(params)
    return np.asarray(jax.lax.scan(one, (x, optimizer.init(x)), batches)[1])


step = discretize.from_heavy_ball(learning_rate=0.03, momentum=0.9)
fading = flows.PowerSchedule(step.mass, 5.0, -1.0)
optimizers = {
    "no momentum": optax.sgd(step.h),
    "momentum kept": optax.sgd(0.03, momentum=0.9),
    "momentum lost": discretize.momentum_schedules(fading, step.h).optimizer(),
}
fig, ax = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
for name, optimizer in optimizers.items():
    found = train(optimizer)
    ax.semilogy(step.h * np.arange(steps), found, label=f"{name}: {found[-1]:.2g}")
ax.set(xlabel=r"time $t = kh$", ylabel="mean loss on all rows")
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# What to see: in the time $t = kh$ all three run at one pace, which
# $\eta/(1-\beta) = h$ sets. Mass is slow to start and swings a little, then it filters
# the noise of the minibatches: plain SGD is the roughest curve. Here is no barrier to
# cross, so nothing is gained by losing the momentum, and nothing much lost.
#
# ## 6. The noise it makes
#
# Which clock makes the noise of minibatches? Not $\gamma = 1/h$: exponential waits are
# more irregular than steps, and leave twice the noise. The label has to relax at
# $r = 2/h$. Then the stationary variances agree, up to a correction of order $h$:

# %%
kappa, h = 1.3, 0.05
pair = flows.quadratic_sum([[1.0], [-1.0]], kappa)
ball = discretize.to_heavy_ball(h, mass=0.9)
eta, beta = float(ball.learning_rate), float(ball.momentum)
gap = 2 * (1 + beta) - eta * kappa
chain = eta * kappa * (1 + beta) / ((1 - beta) * gap)
print(f"heavy ball, fresh index a step: variance {chain:.5f}")
for name, rate in (("r = 2/h", 2 / h), ("r = 1/h", 1 / h)):
    label = sde.UniformIndex(2, rate, "fresh_draw")
    process = sde.StochasticGradientMomentumProcess(pair, label, mass=0.9)
    variance = sde.stationary_switched_moments(process).covariance[0, 0]
    print(f"switching flow with {name}:        variance {float(variance):.5f}")
