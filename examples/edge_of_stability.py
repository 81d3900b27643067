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
# # Edge of stability and the central flow
#
# Gradient descent with step $\eta$ is unstable along a direction whose curvature is
# above $2/\eta$. Training sharpens the loss until it meets that limit, then does not
# diverge: it oscillates at the *edge of stability* and goes on learning. Gradient flow
# cannot see this. The *central flow* (Cohen, Damian, Talwalkar, Kolter and Lee,
# arXiv 2410.24206) describes the path without its oscillation.

# %%
import jax

jax.config.update("jax_enable_x64", True)  # third derivatives want float64

import matplotlib.pyplot as plt
import numpy as np
import optax

import flows
from discretize import SGD, CentralEuler, OptaxStep, Training, compare, figures
from flows import CentralFlow
from flows.central import GradientDescent, complementarity

# %% [markdown]
# ## 1. A valley that narrows
#
# What to see: gradient flow (blue) glides on into the narrow part. Gradient descent
# (red) cannot: beyond the dotted line the valley is too narrow for its step. It
# swings from side to side, and the swing pushes it back. The central flow (green) is
# the middle of that path.

# %%
_ = figures.valley_at_the_edge()
plt.show()

# %% [markdown]
# Why does the swing push back? Write an iterate as $w + \delta$, $\mathbb E\delta = 0$
# and $\mathbb E\delta\delta^\top = \Sigma$. The mean gradient is
#
# $$\mathbb E\,\nabla L(w + \delta) \approx \nabla L(w)
#   + \tfrac12\nabla\langle H(w), \Sigma\rangle,$$
#
# so an oscillation along $u$ descends the curvature $u^\top H u$ as well. The central
# flow picks the one $\Sigma \succeq 0$ that keeps the sharpness from passing $2/\eta$:
#
# $$\dot w = -\eta\bigl[\nabla L + \tfrac12\nabla\langle H, \Sigma\rangle\bigr],
# \qquad 0 \preceq \Sigma \perp \tfrac2\eta I - H(w) \succeq 0.$$

# %% [markdown]
# ## 2. An orbit that is exact
#
# $L(x, z) = (2/\eta + a z)\,x^2/2 - d z + k z^2/2$: along the bottom $x = 0$ the loss
# pulls $z$ up with the force $d$, and the curvature across grows with $z$. The central
# flow stops at $z = 0$ with $\sigma^2 = 2d/a$. Gradient descent from
# $(x, z) = (\sigma, 0)$ jumps between $\pm\sigma$ for ever, up to rounding.

# %%
learning_rate = 0.1
valley = flows.problems.valley(2 / learning_rate, 1.5, 0.3, 0.8)
sigma = np.sqrt(2 * 0.3 / 1.5)

step = OptaxStep(optax.sgd, learning_rate)
orbit = flows.iterate(step, Training(valley), np.array([sigma, 0.0]), h=1.0, steps=6)
print(np.asarray(orbit.positions))

flow = CentralFlow(valley, GradientDescent(learning_rate))
instant = complementarity(flow, 0.0, flow.start(np.array([0.0, 0.0])))
variance = instant.covariance[0, 0] * np.sum(instant.block.vectors[:, 0] ** 2)
print("σ² of the central flow:", float(variance), " exact:", sigma**2)

# %% [markdown]
# ## 3. Handwritten digits
#
# A network of 1,930 weights (64-20-20-10, GELU) on 300 images. One call runs gradient
# descent, its central flow and gradient flow (the *stable* flow, Σ = 0).

# %%
from flows.problems import gelu_digits, warm_start

objective, params = gelu_digits()
params = warm_start(objective, params, 10.0)
run = compare(
    objective,
    SGD(learning_rate=2 / 3.2),
    params,
    steps=150,
    dynamics=CentralFlow,
    scheme=CentralEuler(block=4, margin=0.05),
)
run

# %%
fig, numbers = run.figure()
plt.show()

# %% [markdown]
# What to see: the central flow is held where the largest eigenvalue of
# $P^{-1}H = \eta H$ is 2, and gradient descent's swings about it. Measured from the
# midpoints $\tfrac14(w_{k-1} + 2w_k + w_{k+1})$, which remove the period 2, the central
# flow stays several times nearer than gradient flow.
#
# ## 4. Where it is only a time average
#
# $\Sigma$ is a mean over many swings. The first burst after the sharpness has crossed
# the edge is not in the flow: gradient descent needs time to swing up, overshoots, and
# settles. A cycle takes some 60 steps here, so that 150 steps hold too few of them for
# the mean square of the oscillation to agree in size with $\mathrm{tr}\,\Sigma$:

# %%
k = np.arange(50, 149)
seen, said = run.squared_oscillation[k], run.predicted_squared_oscillation[k]
print(f"mean over steps 50-150: measured {seen.mean():.2e}, tr Σ {said.mean():.2e}")

# %% [markdown]
# With more cycles it does: see the notebook on acceleration by regularisation.
