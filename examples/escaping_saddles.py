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
# # Escaping saddles
#
# At a saddle the gradient vanishes, and yet there is a way down. Newton's method runs
# *into* saddles: it wants $\nabla f = 0$, and asks no further. Gradient descent leaves
# them, slowly. What about a method that mixes the two? And if a method is stuck, how
# can it find the way down from gradients alone?

# %%
import jax

jax.config.update("jax_enable_x64", True)  # theory wants float64: first cell

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import discretize
import flows
import sde
from discretize import figures
from proofs_check import check

# %% [markdown]
# ## 1. Three flows on one saddle
#
# $f(x, y) = x^4 - 4x^2 + y^2$ has a saddle at 0 between the minima
# $(\pm\sqrt2, 0)$. Its Hessian there is $\mathrm{diag}(-8, 2)$.

# %%
f = flows.problems.saddle_between_wells()
start = jnp.array([0.5, 1.0])
inertial = flows.InertialNewtonFlow(f, friction=0.5, hessian_damping=1.0)
runs = {
    "Newton": flows.solve(flows.newton_flow(f), start, 0.0, 8.0),
    "gradient": flows.solve(flows.GradientFlow(f), start, 0.0, 8.0),
    "inertial Newton": flows.solve(inertial, flows.at_rest(start), 0.0, 8.0),
}
for name, run in runs.items():
    x, y = np.asarray(run.positions)[-1]
    print(f"{name:16s} ends in ({x:8.5f}, {y:8.5f})")

# %% [markdown]
# Newton's flow obeys $\nabla f(x(t)) = e^{-t}\,\nabla f(x_0)$: it follows the gradient
# to 0, wherever that is. The inertial Newton flow
# $$\ddot x + \alpha\dot x + \beta\nabla^2 f(x)\dot x + \nabla f(x) = 0$$
# has the same Hessian in it, and goes to a minimum. A little inertia is enough.

# %%
check("inertial.newton-attracted")

# %% [markdown]
# ## 2. Why: one mode
#
# Along an eigenvector of the Hessian with eigenvalue $\lambda$ the flow is an
# oscillator, $\mu^2 + (\alpha + \beta\lambda)\mu + \lambda = 0$. Where $\lambda < 0$
# the product of the roots is negative: one root is real and positive, whatever
# $\alpha$ and $\beta$. Less mass does not help the saddle; it makes the push
# *stronger*.

# %%
alpha, beta, lam = 0.5, 1.0, -8.0
for mass in (1.0, 0.1, 0.01, 0.001):
    up = max(np.roots([mass, alpha + beta * lam, lam]))
    print(f"mass {mass:5g}: the distance grows like exp({up:8.2f} t)")

# %% [markdown]
# ## 3. INNA, the optimiser
#
# Explicit Euler with step $\gamma$ on the form with two variables $(x, \psi)$ is INNA,
# and needs no Hessian. What to see: only the start *on* the line $x = 0$ ends in the
# saddle; the others escape after a number of steps that is known beforehand.

# %%
fig, numbers = figures.leaving_a_saddle()
plt.show()
print(numbers.caption)

# %% [markdown]
# The line is a set of measure 0, and not even the start $v_0 = -\nabla f$ that depends
# on $x_0$ alone can hit it by accident: the stable direction is
# $\psi = (1 + \beta\mu_+)\,x$, the default start $\psi_0 = (1 - \alpha\beta)\,x_0$, and
# their difference is $\beta|\mu_-|(1 + \beta\mu_+)\,x_0$: never 0.

# %%
check("inertial.default-start")

# %% [markdown]
# "Almost surely" is no statement about a computer, whose numbers are a set of measure 0
# too. Here are 1000 starts as close to the saddle as rounding errors are, and the
# control: starts on the stable manifold, all of which do get stuck.

# %%
check("inertial.saddle-avoidance")

# %% [markdown]
# ## 4. Finding the way down with gradients
#
# The curvature in a direction $u$ is a difference of two gradients. Subtract a little
# of it from $u$, and again: the flow
# $$\dot u = -(Hu - (u^\top Hu)\,u)$$
# on the sphere slides down the curvature, to the direction where it is lowest.

# %%
fig, numbers = figures.flow_on_the_sphere()
plt.show()
print(numbers.caption)

# %% [markdown]
# As an algorithm: `negative_curvature`. It is given gradients, a bound $\ell$ of the
# curvature, and the radius of the differences. The loss: wells coupled by a steep
# direction, $\sum x_i^4/4 - y\sum x_i + 15 y^2$, whose saddle is at 0.

# %%
f = flows.problems.coupled_wells(30)
x = jnp.zeros(31)
direction = jax.random.normal(jax.random.key(0), (31,))
found = discretize.negative_curvature(
    f, x, direction, smoothness=34.0, radius=1e-3, steps=200
)
lowest = np.linalg.eigvalsh(np.asarray(f.hessian(x)))[0]
print(f"curvature found {found.curvature:.5f}, lowest eigenvalue {lowest:.5f}")
print(f"gradients spent: {found.gradients}")

# %% [markdown]
# How many steps are enough? A random start has a component of size $1/\sqrt n$ in the
# right direction; that mode grows by $1 + \gamma/\ell$ a step. `search_budget` counts,
# and is right except with probability $\delta$.

# %%
for n in (10, 1000, 100_000):
    steps = discretize.search_budget(smoothness=1.0, target=0.1, n=n, failure=0.01)
    print(f"n = {n:6d}: {steps} steps")

# %% [markdown]
# ## 5. Momentum, once more
#
# Flat saddles take long: $\ell/\gamma$ steps. With Nesterov's momentum,
# $\sqrt{\ell/\gamma}$. What to see: on the left no difference, on the right a factor
# of nine.

# %%
fig, numbers = figures.curvature_searches()
plt.show()
print(numbers.caption)

# %%
check("negative_curvature.momentum")

# %% [markdown]
# ## 6. A descent that does not stop at saddles
#
# Gradient descent; where the gradient is small, a search; if there is a way down, a
# step along it. It lowers the loss by $\sqrt{\epsilon^3/\rho}/192$ at least. A descent
# with random pushes gets away as well, but never learns that it has arrived.

# %%
f = flows.problems.saddle_between_wells()
flow, x0, h, steps = flows.GradientFlow(f), jnp.zeros(2), 1 / 30, 150
schemes = {
    "search": discretize.CurvatureDescent(0.01, hessian_lipschitz=36.0, search=30),
    "push": discretize.PerturbedDescent(0.01, radius=1e-3, wait=50),
}
fig, ax = plt.subplots(figsize=(5.6, 3.4), layout="constrained")
for name, scheme in schemes.items():
    noise = sde.draw_noise(scheme, flow, x0, jax.random.key(1), steps)
    run = flows.iterate(scheme, flow, x0, h=h, steps=steps, noise=noise)
    gradients = np.concatenate([[0], np.cumsum(run.aux.gradients)])
    loss = np.asarray(jax.vmap(f.value)(run.positions))
    ax.plot(gradients, loss, label=name, lw=2)
    ax.plot(gradients[-1], loss[-1], "o", color=ax.lines[-1].get_color())
ax.set(xlabel="gradients spent", ylabel="loss", ylim=(-4.3, 0.4))
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# What to see: on a saddle as steep as this one a push is the quicker way, for the
# search spends 32 gradients before it moves. What they buy is the end. The dots are
# where the runs end: the search rests there, having found no way further down; the
# descent with pushes goes on pushing.

# %%
check("negative_curvature.decrease")
