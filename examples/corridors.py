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
# # Corridors and the Polyak step
#
# Gradient descent walks in straight segments; gradient flow bends. Where the flow does
# *not* bend, and keeps its speed, the two are the same thing, for every step size. Such
# a region is a **corridor** (Dherin and Rosca, 2024, arXiv 2402.08818). This notebook
# finds corridors with a meter, sees what is lost outside, and follows the step size
# that believes the whole way to the minimum to be one: Polyak's.

# %%
import jax

jax.config.update("jax_enable_x64", True)  # theory wants float64: first cell

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import sympy

import discretize
import flows
from discretize import POLYAK_SGD, SGD, compare, figures
from proofs_check import check, claims

# %% [markdown]
# ## 1. When does gradient flow coast?
#
# Along $\dot\theta = -g(\theta)$, $g = \nabla f$, the acceleration is
# $\ddot\theta = Hg = \tfrac12\nabla|g|^2$. So the flow runs straight at constant speed
# exactly where $Hg = 0$, that is, where $|g|$ does not change. The simplest corridor
# that is no plane is a cone, $f = |x|$.

# %%
x, y = sympy.symbols("x y", real=True)
cone = flows.from_sympy(sympy.sqrt(x**2 + y**2), [x, y])
start = jnp.array([3.0, 4.0])

run = compare(cone, SGD(learning_rate=0.7), start, steps=6)
run

# %% [markdown]
# Six long steps, and the distance to the flow is rounding. What to see in the picture:
# the dots sit in the circles on the left, and miss them on the right.

# %%
fig, numbers = figures.corridor_orbits()
plt.show()
print(numbers.caption)

# %% [markdown]
# ## 2. A meter for corridors
#
# `corridor_meter` gives two rates, in 1/time: $|Hg|/|g|$, how fast the velocity
# changes, and the part of it across $g$, which bends the path. The second one alone is
# a trap: an isotropic quadratic has straight orbits and is no corridor, for the flow
# slows down on it.

# %%
losses = {
    "cone": cone,
    "isotropic quadratic": flows.problems.quadratic([2.0, 2.0]),
    "anisotropic quadratic": flows.problems.quadratic([1.0, 3.0]),
}
for name, f in losses.items():
    meter = flows.corridor_meter(f, start)
    print(f"{name:22s} rate {meter.rate:.3f}   turning {meter.turning:.3f}")

# %% [markdown]
# In a corridor the loss falls on a straight line, $f(\theta(t)) = f_0 - t|g_0|^2$, and
# one step of descent misses it by $\tfrac{h^2}{2}g^\top Hg + O(h^3)$ elsewhere. That is
# `decrease_defect`, which needs no Hessian: two losses and a gradient.

# %%
print(" " * 8, *(f"{name:>22s}" for name in losses))
for h in (0.4, 0.2, 0.1):
    found = [float(discretize.decrease_defect(f, start, h)) for f in losses.values()]
    print(f"h = {h}:", *(f"{defect:22.2e}" for defect in found))

# %%
fig, numbers = figures.corridor_loss()
plt.show()
print(numbers.caption)

# %% [markdown]
# ## 3. The four faces of a corridor, proved
#
# $Hg = 0$; straight at constant speed; descent equals flow for every step; all
# corrections of the modified equation vanish. The claim traces the code with symbols,
# and its controls (softplus, a rounded cone, quadratics) must fail.

# %%
check(claims()["gradient_flow.corridor"])

# %% [markdown]
# ## 4. The step that reaches the end of the corridor
#
# If the corridor went on until $f = 0$, the flow would arrive at time $f/|g|^2$, and so
# would one step of that size. That is **Polyak's step**,
# $x_{k+1} = x_k - \frac{f}{|g|^2}g$. On the cone it is right at once; on $|x|^p/p$ it
# multiplies $x$ by $1 - 1/p$; on $e^x$ every step is $-1$.

# %%
print("cone:", compare(cone, POLYAK_SGD(), start, steps=1, flow=False).positions[-1])
z = sympy.Symbol("z", real=True)
for p in (2, 4):
    f = flows.from_sympy(z**p / p, [z])
    path = compare(f, POLYAK_SGD(), jnp.ones(1), steps=3, flow=False).positions[:, 0]
    print(f"|x|^{p}/{p}:", path)

# %% [markdown]
# `optax.polyak_sgd` is that step, once its clip is opened: its own default
# `max_learning_rate=1.0` makes it something else on a flat loss. The row of the table
# leaves the clip open, and is proved to be explicit Euler with step 1 on the flow
#
# $$\dot\theta = -\frac{f - f^*}{|\nabla f|^2}\nabla f,\qquad
# f(\theta(t)) - f^* = e^{-t}\,(f(\theta(0)) - f^*).$$

# %%
print(discretize.prove(POLYAK_SGD).status)
f = flows.from_sympy(sympy.log(sympy.cosh(x)) + y**4, [x, y])
path = flows.solve(flows.PolyakFlow(f), jnp.array([2.0, 1.0]), 0.0, 5.0)
ratio = path.loss / (path.loss[0] * np.exp(-path.times))
print(f"f(t) / (f(0) exp(-t)) stays within {np.max(np.abs(ratio - 1)):.1e} of 1")

# %% [markdown]
# ## 5. On real data
#
# A small network on handwritten digits, cross-entropy, whose infimum is 0. Nothing is
# tuned. What to see: the step size grows by orders of magnitude as the loss flattens;
# the loss falls far below what constant steps reach, and jumps on the way.

# %%
fig, numbers = figures.polyak_on_digits(steps=120)
plt.show()
print(numbers.caption)

# %% [markdown]
# Why trust a step that raises the loss? Because on convex losses it always comes
# *closer*: $|x_k - x^*|^2 - |x_{k+1} - x^*|^2 \ge f^2/|g|^2$. In a corridor that is an
# equality, on quadratics the gain is three times as large. The claim's control is a
# loss that is not convex.

# %%
check(claims()["gradient_flow.polyak-fejer"])

# %% [markdown]
# ## To try
#
# 1. Aim too low: `POLYAK_SGD(f_min=-0.1)` on a quadratic. When does it stop improving?
# 2. `flows.PolyakFlow(f, minimum)` with `minimum` below the true one ends in finite
#    time. Predict when (its loss is an exponential), and look at the error's time.
# 3. Where along a training run is the meter small? Compute
#    `flows.corridor_meter(objective, x)` on `compare(...).positions`.
