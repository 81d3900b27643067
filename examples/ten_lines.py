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
# # An optimiser beside its flow, in ten lines
#
# Take a loss of your own, lay gradient descent beside gradient flow, measure how far
# apart they are, read the equation, and check a theorem's constant: each in ten lines.

# %%
import jax

jax.config.update("jax_enable_x64", True)  # theory wants float64: first cell

import jax.numpy as jnp
import numpy as np
import optax
import sympy
from IPython.display import Math, display

# %% [markdown]
# ## 1. A loss of your own, as an expression
#
# Any scalar sympy expression. Every other symbol is a parameter with a value: a new
# value compiles nothing.
# %%
import discretize
import flows
from discretize import ADAM, SGD, compare

x, y, a = sympy.symbols("x y a", real=True)
banana = flows.from_sympy((1 - x) ** 2 + a * (y - x**2) ** 2, [x, y], {a: 5.0})
display(Math(flows.latex(flows.GradientFlow(banana))))

run = compare(banana, SGD(learning_rate=0.01), np.array([-1.0, 1.5]), t1=4.0)
run

# %% [markdown]
# The path itself, drawn into axes of your own. What to see: the dots of gradient
# descent lie on the line of gradient flow, since the step is well below its limit.

# %%
import matplotlib.pyplot as plt

fig, ax = plt.subplots(figsize=(5, 3.6), layout="constrained")
ax.plot(*np.asarray(run.flow.positions).T, label="gradient flow")
ax.plot(*run.positions[::8].T, "o", ms=3.5, label="gradient descent, every 8th step")
ax.set(xlabel="$x$", ylabel="$y$")
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# ## 2. A loss over a pytree, with data
#
# `loss(params, data)`: the optimiser steps on your own pytree, the flow on the same
# numbers as one vector, and parameters come back as the pytree.

# %%
from flows.problems import digits_mlp

objective, params = digits_mlp(hidden=8, rows=300)  # or flows.from_loss(...)
run = compare(objective, SGD(learning_rate=0.05), params, t1=5.0)
run.figure()
plt.show()
jax.tree.map(jnp.shape, run.params_at(2.0)), run.distance[-1]

# %% [markdown]
# Adam is not *like* a discretised flow, it *is* one: the exact-EMA splitting of its
# flow. The table says what is exact and what holds to an order, and `prove` proves it
# by tracing optax's own code.

# %%
adam = compare(objective, ADAM(learning_rate=1e-3), params, steps=200)
print(f"largest relative gap to the splitting: {adam.exact_gap.max():.1e}")
print(f"two steps, traced and compared: {discretize.prove(ADAM).status}")
discretize.correspondences()

# %% [markdown]
# ## 3. Is my step size sane?
#
# The optimiser is linearised on a quadratic, its polynomial read off the trace, and the
# limit compared with the sharpness of your loss, measured by Hessian-vector products.

# %%
discretize.stability(optax.sgd(0.1, momentum=0.9), objective, params)

# %% [markdown]
# ## 4. Which order, for *my* loss?

# %%
ladder = 0.02 * 0.5 ** np.arange(6)
discretize.order(
    flows.GradientFlow(banana), "euler", jnp.array([-1.0, 1.5]), t1=1.6, hs=ladder
)

# %% [markdown]
# ## 5. A theorem's constant
#
# Every claim carries its source, the interval of the measurement, the smallest error it
# would have caught, and at least one negative control that must fail.

# %%
from proofs_check import Equal, check, claim, claims

check(claims()["gradient_flow.heavy-ball-slip"])

# %% [markdown]
# ## 6. A constant of my own
#
# Defined here and now, nothing installed. The control doubles the temperature and must
# be refuted, at the value that it then ought to have.


# %%
@claim("mine.gaussian-kurtosis", source="me, 2026", relation=Equal(3.0), delta=0.05)
def kurtosis(ctx):
    """E X⁴ of a standard normal is 3."""
    return ctx.mean(lambda seed, n: np.random.default_rng(seed).normal(size=n) ** 4)


@kurtosis.control("uniform in place of normal, same variance", expected=9 / 5)
def _(ctx):
    r = np.sqrt(3)
    draw = lambda seed, n: np.random.default_rng(seed).uniform(-r, r, n) ** 4  # noqa: E731
    return ctx.mean(draw)


check(kurtosis)
