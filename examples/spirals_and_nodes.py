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
# # Spirals and nodes: what Newton-like damping does
#
# A heavy ball on a loss surface overshoots and swings back. Give it a friction that
# grows with the curvature,
# $$m\ddot x + \alpha\dot x + \beta\,\nabla^2 f(x)\,\dot x + \nabla f(x) = 0,$$
# and steep directions are damped hardest: *inertial Newton*, or DIN. Its explicit Euler
# step needs no Hessian and is the optimiser INNA. When does it swing, when does it come
# in straight, how fast, and which step sizes survive?

# %%
import jax

jax.config.update("jax_enable_x64", True)  # theory wants float64: first cell

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
import sympy
from IPython.display import Math, display

import discretize
import flows
from discretize import Regime, figures, regimes
from proofs_check import check

# %% [markdown]
# ## 1. One mode, two roots
#
# Near a critical point every eigenvector of the Hessian moves by itself. A mode of
# curvature $\lambda$ is an oscillator of friction $\alpha + \beta\lambda$:
# $$m\mu^2 + (\alpha + \beta\lambda)\mu + \lambda = 0.$$
# The equation of the model is read off its code, and `regimes` solves it for as many
# modes as you like. What to see: with $\beta = 0.1$ both curvatures of $x_1^2 + 2x_2^2$
# have complex roots, with $\beta = 1$ real ones.

# %%
x, y = sympy.symbols("x y", real=True)
bowl = flows.from_sympy(x**2 + 2 * y**2, [x, y])
model = flows.InertialNewtonFlow(bowl, friction=2.0, hessian_damping=0.1)
display(Math(flows.latex(model, flows.at_rest(jnp.zeros(2)))))

curvatures = np.array([2.0, 4.0])
for beta in (0.1, 1.0):
    found = regimes(curvatures, 2.0, beta)
    for lam, code, mu in zip(curvatures, found.regime, found.eigenvalues, strict=True):
        print(f"β = {beta}: λ = {lam:g}  {Regime(int(code)).name:6}  μ = {mu[0]:.3f}")

# %% [markdown]
# The same two systems as paths, from afar and close by. A mode of the spiral shrinks by
# a factor of ten to fifty in each half turn, which is why nobody sees it without a
# logarithmic radius.

# %%
fig, numbers = figures.spirals_and_nodes()
plt.show()

# %% [markdown]
# ## 2. The window of spirals
#
# A mode spirals where $(\alpha + \beta\lambda)^2 < 4m\lambda$, that is for
# $\alpha\beta < m$ and
# $$\lambda_- < \lambda < \lambda_+,\qquad
# \lambda_\pm = \Bigl(\frac{\sqrt m \pm \sqrt{m - \alpha\beta}}{\beta}\Bigr)^2.$$
# Too little curvature and friction wins; too much and Hessian damping wins; with
# $\alpha\beta \ge m$ one of them always does.

# %%
window = discretize.regime_boundaries(2.0, 0.1)
print(
    f"α = 2, β = 0.1: spirals from {window.spiral_low:.4f} to {window.spiral_high:.1f}"
)

fig, numbers = figures.regime_map()
plt.show()
print(numbers.caption)

# %% [markdown]
# In a live notebook the map follows sliders. Turn the damping up until the tongue lies
# below the dashed line; then turn up the step, and the dashed line of the map of steps
# moves up to where no curvature is stable.

# %%
discretize.regime_explorer()

# %% [markdown]
# Is it a theorem? The identity is proved from the traced model, and the map is checked
# in ball arithmetic: a cell counts only if an enclosure of both sides is certain.

# %%
check("inertial.spiral-window")

# %% [markdown]
# ## 3. How fast
#
# The slower root sets the rate. In flat directions it is $\lambda/\alpha$, like
# gradient flow. In steep ones it comes to $1/\beta$, *whatever the curvature*: that is
# Newton's method at work. And a little mass helps: at
# $m^* = (\alpha + \beta\lambda)^2/4\lambda$ the rate is twice that without mass.

# %%
fig, numbers = figures.newton_like_rates()
plt.show()
mass = float(discretize.critical_mass(100.0, 1.0, 0.3))
for m in (mass / 100, mass, 100 * mass):
    rate = float(regimes(100.0, 1.0, 0.3, mass=m).rate)
    print(f"m = {m:8.3f}: rate {rate:.3f}")

# %% [markdown]
# ## 4. Momentum is a point on the map
#
# Optax's SGD with momentum $b$ is INNA at $\gamma = \sqrt\eta$, $\alpha = (1-b)/\gamma$
# and $\beta = \gamma$; Nesterov's has $\beta = (1+b)\gamma$. So the map of steps knows
# their largest stable curvature, $2(1+b)/\eta$ and $2(1+b)/(\eta(1+2b))$, which
# `stability` finds without it, by tracing optax.

# %%
eta, momentum = 0.01, 0.9
for nesterov in (False, True):
    point = discretize.to_inertial_newton(eta, momentum, nesterov)
    edge = discretize.regime_boundaries(
        point.friction, point.hessian_damping, step=point.step
    )
    optimiser = optax.sgd(eta, momentum=momentum, nesterov=nesterov)
    traced = float(discretize.stability(optimiser).limit)
    print(f"nesterov={nesterov!s:5}  map {edge.period_two:.4f}  traced {traced:.4f}")

# %% [markdown]
# What does training look like around such a limit? With Nesterov's momentum a mode just
# below it flips sides every step and still shrinks; just above it grows.

# %%
limit = float(edge.period_two)
steep = np.array([1.0, 30.0, 0.99 * limit, 1.01 * limit])
found = regimes(steep, point.friction, point.hessian_damping, step=point.step)
for lam, code, rate in zip(steep, found.regime, found.rate, strict=True):
    print(
        f"λ = {lam:7.2f}: {Regime(int(code)).name:13} decay {rate:+.4f} per unit time"
    )

# %% [markdown]
# ## 5. A whole loss
#
# At a critical point of any loss, give `regimes` the Hessian's eigenvalues. Here: the
# saddle between two wells, and one of the wells. A negative eigenvalue never spirals;
# each gives one direction out.

# %%
loss = flows.problems.saddle_between_wells()
for name, where in (("saddle", [0.0, 0.0]), ("well", [np.sqrt(2), 0.0])):
    hessian = jax.hessian(loss.value)(jnp.array(where))
    spectrum = np.linalg.eigvalsh(hessian)
    found = regimes(spectrum, 0.5, 0.1)
    print(name, spectrum, found.counts(), "nearest edges", np.round(found.boundary, 3))

# %% [markdown]
# ## 6. A million modes
#
# Every array is one compiled loop, so a map with a million points is instant.

# %%
rng = np.random.default_rng(0)
lam, alpha, beta, step = 10 ** rng.uniform(-2, [[3], [1], [1], [0]], (4, 1_000_000))
regimes(lam, alpha, beta, step=step).counts()
