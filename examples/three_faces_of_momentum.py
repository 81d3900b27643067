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
# # Three faces of momentum
#
# Momentum is *one* idea that comes in three forms. As an **optimiser** it is a line of
# code with two numbers. As a **flow** it is a ball that rolls in syrup. As an
# **energy** it is a proof of how fast the ball comes to rest. This notebook turns the
# same methods, heavy ball and Nesterov's, from one face to the next, and looks at what
# the faces say of each other:
#
# * why heavy ball rings and Nesterov's method does not,
# * what the friction $3/t$ is doing in a method without time,
# * why no schedule of `optax.sgd(nesterov=True)` is Nesterov's convex method,
# * why a flow that is arbitrarily fast gives no optimiser that is.

# %%
import jax

jax.config.update("jax_enable_x64", True)  # theory wants float64: first cell

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import discretize
import flows
from discretize import figures
from proofs_check import check, claims

# %% [markdown]
# ## 1. The optimiser
#
# A quadratic with curvatures between $\mu = 0.01$ and $L = 1$. Four methods, each with
# the numbers that its theory gives it.

# %%
spectrum = jnp.geomspace(0.01, 1.0, 30)
objective = flows.problems.quadratic(spectrum)
mu, L = 0.01, 1.0
kappa = L / mu

best_rate = 4 / (np.sqrt(L) + np.sqrt(mu)) ** 2
best_momentum = ((np.sqrt(kappa) - 1) / (np.sqrt(kappa) + 1)) ** 2
methods = {
    "gradient descent": optax.sgd(2 / (L + mu)),
    "heavy ball (Polyak's numbers)": optax.sgd(best_rate, momentum=best_momentum),
    "NAG-SC": discretize.nag_sc(1 / L, mu),
    "NAG-C": discretize.nag_c(1 / L),
}


def losses(optimizer, steps=160):
    def one(carry, _):
        x, state = carry
        update, state = optimizer.update(objective.gradient(x), state, x)
        x = optax.apply_updates(x, update)
        return (x, state), objective.value(x)

    x = jnp.ones(len(spectrum))
    return jax.lax.scan(one, (x, optimizer.init(x)), length=steps)[1]


fig, ax = plt.subplots(figsize=(6.2, 3.8), layout="constrained")
for name, optimizer in methods.items():
    ax.semilogy(losses(optimizer), label=name)
ax.set(xlabel="step", ylabel="$f - f_*$", ylim=(1e-14, 20))
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# What to see: all methods with momentum beat gradient descent; heavy ball and NAG-SC,
# which know $\mu$, by about $\sqrt\kappa = 10$ in the exponent (heavy ball after a
# climb). NAG-C does not know $\mu$, and pays: it ripples, and slows down.
#
# ## 2. The flow: what the two numbers mean
#
# Learning rate $\eta$ and momentum $m$ are coordinates of a step. The flow has others:
# a time $\gamma$ that a step takes, a friction $\alpha$, and a Hessian damping $\beta$,
# $$\ddot x + \alpha\dot x + \beta\,\nabla^2 f(x)\,\dot x + \nabla f(x) = 0.$$
# `to_inertial_newton` translates, exactly and from the first step on: optax's
# optimiser *is* explicit Euler of this flow (in other variables).

# %%
for nesterov in (False, True):
    point = discretize.to_inertial_newton(best_rate, best_momentum, nesterov)
    print("Nesterov  " if nesterov else "heavy ball", point)
print(f"critical friction of the slowest mode, 2√μ = {2 * np.sqrt(mu):.3f}")

# %% [markdown]
# Read it: both have nearly the critical friction $2\sqrt\mu$ of the *slowest*
# direction. They differ in $\beta$: that of Nesterov is $1 + m$ times as large.
#
# In the steep directions the friction $2\sqrt\mu$ is next to nothing: there the ball
# rings like a bell. Only a damping that grows with curvature helps, and that is what
# $\beta\,\nabla^2 f\,\dot x$ does. Heavy ball's own $\beta$ just makes up for what
# Euler's step feeds in; what Nesterov has beyond that is the *gradient correction* of
# Shi, Du, Jordan and Su.

# %%
fig, numbers = figures.heavy_ball_and_nesterov()
print(numbers.caption)
plt.show()

# %% [markdown]
# ## 3. Friction that dies away
#
# NAG-C has a momentum that grows to 1, $\frac{k-1}{k+2} = 1 - \frac{3}{k+2}$. In the
# time $t = k\sqrt s$ that is the friction $3/t$: strong at first, gone in the end, the
# same for every curvature. `NAG_C` is a row of the table, so it can be laid beside its
# flow like any other optimiser.

# %%
start = jnp.array([2.0, -1.5, 1.0])
logistic = flows.problems.ridged_logistic()
run = discretize.compare(logistic, discretize.NAG_C(learning_rate=0.04), start, t1=10.0)
run.figure()
plt.show()

# %% [markdown]
# The distance to the flow is of first order in $\sqrt s$. A flow that knows $\sqrt s$,
# the *high-resolution* flow, is one order better.

# %%
fig, numbers = figures.nesterov_and_its_flow()
print(numbers.caption)
plt.show()

# %% [markdown]
# **A trap.** Written in one sequence, NAG-C decays its memory by $c_{k-1}$ and looks
# ahead by $c_k$. `optax.sgd(momentum=..., nesterov=True)` has one number for both. So
# scheduling its momentum does not give NAG-C, and nothing else does: the equations on
# the momenta of the first two steps contradict each other. Traced from optax's code
# and proved, controls included:

# %%
check(claims()["inertial.nag-c-no-schedule"])

# %% [markdown]
# ## 4. The energy
#
# Why is the friction $3/t$, and why does $f - f_*$ fall like $2|x_0 - x_*|^2/t^2$? The
# energy $t^2(f - f_*) + 2\,|x - x_* + \tfrac t2\dot x|^2$ never increases, for every
# convex $f$, and it starts at $2|x_0 - x_*|^2$. The optimiser has an energy of its own,
# and the proof goes step by step: what is lost is a sum of terms that convexity makes
# positive.

# %%
check(claims()["inertial.nag-c-energy"])

# %% [markdown]
# Is the constant 2 any good? On quadratics it is three times too large: there the
# solution is a Bessel function and the best constant is $2\max J_1^2 = 0.677$. But put
# the ball on $f = |x|$: the force is constant, $x = x_0 - t^2/8$, and at $t^2 = 4x_0$
# the bound is *reached*.

# %%
fig, numbers = figures.accelerated_constants()
print(numbers.caption)
plt.show()
check(claims()["inertial.accelerated-flow-constant"])

# %% [markdown]
# For $r < 3$ the same computation gives more than $(r-1)^2/2$: the 3 in Nesterov's
# method is a threshold, not a choice.
#
# ## 5. Faster than any power?
#
# Wibisono, Wilson and Jordan found flows with $f - f_* = O(t^{-p})$ for every $p$. Has
# one only to discretise $p = 100$? They all run along one path, $x_p(t) =
# x_2(t^{p/2})$: the clock runs faster, the path is no shorter. An explicit scheme feels
# it at once.

# %%
fig, numbers = figures.bregman_speeds()
print(numbers.caption)
plt.show()
check(claims()["inertial.bregman-time-change"])

# %% [markdown]
# The dots leave the line where the step times the frequency $p\sqrt C\,t^{p/2-1}$ is 2:
# at $t = 5$ for $p = 4$, at $t = 1.8$ for $p = 6$. Rates of flows compare only in a
# clock that an optimiser can follow.
#
# ## To try
#
# * In section 1, take the spectrum from $10^{-4}$ on but leave $\mu = 0.01$ for NAG-SC.
#   Which method do you trust if you do not know $\mu$?
# * `discretize.nag_c(1.0, friction=2.0)` on the loss $|x|$, rounded off near 0: does
#   $k^2 f$ stay bounded?
# * `check(claims()["inertial.nag-sc-high-resolution-order"])`: with which velocity
#   should the high-resolution flow start?
