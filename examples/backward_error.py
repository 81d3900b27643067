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
# # GD is not gradient flow: backward error analysis
#
# Gradient descent is the explicit Euler method on gradient flow, so it drifts away from
# that flow by an amount of order $h$, the learning rate. Which flow *does* it follow?
# Backward error analysis answers: one with extra terms,
# $\dot y = f_1 + h f_2 + h^2 f_3 + \dots$

# %%
import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Math, display

import discretize
import flows
from discretize import SGD_MODIFIED, Euler, compare, figures, modified_terms
from flows.problems import quadratic, taylor_polynomial, wavy

start = jnp.array([1.2, 0.8])

# %% [markdown]
# ## 1. The terms, read off the code
#
# Nothing is typed in: the step of the scheme is traced, and the recursion for the terms
# runs on symbols. In one variable, with $f' = c_0$, $f'' = 2c_1$, $f''' = 6c_2$ at the
# point, the second term is $-\frac12 f'' f'$, that is $-\frac14\nabla|\nabla f|^2$:
# gradient descent avoids steep places. This is implicit gradient regularisation.

# %%
loss = flows.symbols_like(taylor_polynomial(1, 4))


def terms(f):
    fields = modified_terms(Euler(), flows.GradientFlow(f), 3)
    return [field(0.0, jnp.zeros(1))[0] for field in fields]


for j, term in enumerate(flows.exactly(terms, loss), start=1):
    text = flows.symbolic.latex_of(term).replace("coefficients", "c")
    display(Math(f"f_{j} = {text}"))

# %% [markdown]
# ## 2. Each term gains one order
#
# The rows of the table `SGD_MODIFIED` lay `optax.sgd` beside its modified flow of
# 1, 2, ..., 5 terms.

# %%
for row in SGD_MODIFIED[:3]:
    run = compare(wavy(), row(learning_rate=0.05), start, t1=1.0)
    print(f"{row.name}: distance after unit time {run.distance[-1]:.1e}")

# %%
fig, numbers = figures.modified_orders()
plt.show()
print(numbers.caption)

# %% [markdown]
# ## 3. Why there is no second-order modified loss
#
# The second term is a gradient. The third one is not: round a closed circle it does
# work.

# %%
fig, numbers = figures.modified_curl()
plt.show()
print(numbers.caption)

# %% [markdown]
# ## 4. Beyond $h\lambda = 1$: the principal flow
#
# No real flow can jump over a minimum and back. The principal flow can, in the complex
# plane: $\log(1 - h\lambda)$ gets the imaginary part $\pi$ at $h\lambda > 1$, and a
# positive real part at the edge of stability, $h\lambda > 2$.

# %%
principal = flows.PrincipalFlow(quadratic([2.1, 0.15]), 1.0)
display(Math(flows.latex(principal)))
fig, numbers = figures.principal_flow()
plt.show()
print(numbers.caption)

# %% [markdown]
# ## 5. Momentum: a regulariser and a slip
#
# Heavy ball starts at rest. Its orbit is that of its modified flow from a *shifted*
# start, and without that shift the regulariser is worth nothing.

# %%
fig, numbers = figures.heavy_ball_slip()
plt.show()
print(numbers.caption)

# %% [markdown]
# ## 6. Shuffled mini-batches
#
# An epoch over reshuffled batches, in the mean over orders, regularises the batches'
# own gradient norms. `MeanEpoch` is a scheme, so the same recursion gives its terms.

# %%
parts = flows.finite_sum([wavy(), quadratic([1.0, 3.0])])
batches = discretize.partition(2, 2)
eta = 0.1
by_recursion = discretize.ModifiedFlow(
    flows.GradientFlow(parts), discretize.MeanEpoch(batches), 2 * eta, 2
)
by_formula = discretize.ShuffledFlow(parts, batches, eta)
np.array([by_recursion.vector_field(0.0, start), by_formula.vector_field(0.0, start)])

# %% [markdown]
# ## 7. What is proved, and what would have been caught
#
# Every statement above is a claim with negative controls.

# %%
from proofs_check import check, claims

check(claims()["gradient_flow.modified-curl"])
