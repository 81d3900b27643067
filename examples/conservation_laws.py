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
# # What gradient flow conserves
#
# A loss that does not change under a symmetry leaves its gradient flow with a conserved
# quantity. It decides which of many solutions training ends in. Gradient descent breaks
# it, by an amount that is known; weight normalisation trades it for another.
#
# We measure such quantities along runs, prove them, and see what breaks them.

# %%
import jax

jax.config.update("jax_enable_x64", True)  # theory wants float64: first cell

import diffrax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import flows
from discretize import SGD, WEIGHT_NORMALISED_SGD, ProjectedEuler, compare, figures


# %% [markdown]
# ## 1. What the data do not see
#
# Least squares with 8 rows and 20 weights, $f(x) = \frac1{2m}|Ax-y|^2$. The gradient
# lies in the row space of $A$, so the part of $x$ in the null space never moves. From
# 0, gradient flow ends in the solution of least norm $x^* = A^+y$; from elsewhere it
# keeps its unseen part $Px(0)$ for ever.

# %%
rng = np.random.default_rng(0)
A = rng.standard_normal((8, 20))
targets = A @ rng.standard_normal(20)
objective = flows.problems.least_squares(A, targets)
P = flows.null_projector(A)
x0 = 0.2 * jnp.asarray(rng.standard_normal(20) / np.sqrt(20))

run = compare(objective, SGD(learning_rate=0.05), x0, t1=20.0)
kept = flows.drift(lambda x: P @ x, run, of="position")
gone = flows.drift(lambda x: x, run, of="position")
print(f"way gone {gone[-1]:.2f}, drift of P x {kept.max():.0e}")

# %% [markdown]
# `drift` takes any function of the position, of your own parameter pytree, or of the
# state. For gradient descent the law holds exactly, not just for the flow. Adam divides
# the gradient entry by entry, and leaves the row space:

# %%
adam = compare(
    objective,
    optax.adam(0.05),
    x0,
    dynamics=flows.GradientFlow(objective),
    clock=0.05,
    steps=400,
    flow=False,
)
flows.drift(lambda x: P @ x, adam, of="position")[-1]

# %% [markdown]
# ## 2. Layers stay as balanced as they began
#
# The product $W_2W_1$ does not change if $W_1$ is multiplied by $M$ and $W_2$ by
# $M^{-1}$. For any loss of the product, gradient flow conserves
#
# $$B_i = W_{i+1}^\top W_{i+1} - W_i W_i^\top.$$
#
# `is_conserved` proves it: the flow's generator is applied to $B$ with weights and loss
# as symbols. A quadratic with symbols for coefficients stands for every loss here.

# %%
from flows.problems import DeepLinear, taylor_polynomial

net = DeepLinear(flows.Facts(), taylor_polynomial(4, 2), widths=(2, 2, 2))
flow = flows.GradientFlow(net)
flows.is_conserved(flow, flows.balancedness, jnp.ones(net.size))

# %% [markdown]
# With the wrong sign it is refuted, and the result says where:


# %%
def wrong_sign(factors):
    w1, w2 = factors
    return w2.T @ w2 + w1 @ w1.T


flows.is_conserved(flow, wrong_sign, jnp.ones(net.size)).status

# %% [markdown]
# Steps do break it. With $G_i$ the gradient in $W_i$, a step of gradient descent
# changes $B_i$ by exactly $\eta^2(G_{i+1}^\top G_{i+1} - G_iG_i^\top)$: over a fixed
# time a drift in proportion to $\eta$, with a constant one can compute. What to see:
# the flow's line lies at the solver's tolerance, descent's dots on the dashed line.

# %%
fig, numbers = figures.balancedness_drift()
plt.show()
print(numbers.caption)

# %% [markdown]
# ## 3. A network with ReLU, and your own loss
#
# ReLU only lets a neuron's incoming weights (with its bias) be scaled by $c > 0$ and
# the outgoing ones by $1/c$. So one number a neuron is conserved,
# $|a_j|^2 - |w_j|^2 - b_j^2$, and for tanh none.


# %%
def loss(params, data, activation):
    inputs, targets = data
    hidden = activation(inputs @ params["w1"].T + params["b1"])
    return 0.5 * jnp.mean(jnp.sum((hidden @ params["w2"].T - targets) ** 2, axis=1))


def balance(params):
    return flows.neuron_balance((params["w1"], params["w2"]), (params["b1"],))


draw = np.random.default_rng(2)
params = {
    "w1": 0.7 * draw.standard_normal((4, 3)),
    "b1": 0.7 * draw.standard_normal(4),
    "w2": 0.7 * draw.standard_normal((2, 4)),
}
data = (draw.standard_normal((12, 3)), draw.standard_normal((12, 2)))
tight = diffrax.PIDController(rtol=1e-9, atol=1e-11)

fig, ax = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
for name, activation in {"ReLU": jax.nn.relu, "tanh": jnp.tanh}.items():
    f = flows.from_loss(
        lambda p, d, activation=activation: loss(p, d, activation), params, data
    )
    path = flows.solve(
        flows.GradientFlow(f), f.ravel(params), 0.0, 3.0, stepsize_controller=tight
    )
    moved = flows.drift(balance, path)
    ax.semilogy(path.times[1:], np.maximum(moved[1:], 1e-16), label=name)
ax.set(xlabel="time $t$", ylabel="drift of the neurons' balance")
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# ## 4. Weight normalisation forgets
#
# Write $x = s\,w/|w|$ and follow the gradient in $s$ and $w$. The unseen part of the
# direction $u = w/|w|$ is not kept any more: it shrinks as the scale grows,
#
# $$Pu(t) = Pu(0)\,\exp\frac{s(0)^2 - s(t)^2}{2c_s|w|^2}.$$

# %%
wn = flows.WeightNormalisedFlow(objective)
start = wn.start(x0)
path = flows.solve(wn, start, 0.0, 20.0, stepsize_controller=tight)
u = path.states.direction / jnp.linalg.norm(path.states.direction, axis=1)[:, None]
s = path.states.scale[:, 0]
unseen = jnp.linalg.norm(u @ P, axis=1)

fig, ax = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
ax.semilogy(s, unseen, "o", ms=4, label="weight-normalised flow")
law = unseen[0] * jnp.exp((s[0] ** 2 - s**2) / 2)
ax.semilogy(s, law, "k--", label="the invariant")
ax.set(xlabel="scale $s(t)$", ylabel="unseen part $|P u(t)|$")
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# So it ends nearer to the solution of least norm than gradient flow: sometimes. The
# distance at the end is set by $|w|$, that of gradient flow by the start. Above the
# dashed line weight normalisation harms.

# %%
fig, numbers = figures.weight_normalisation_distance()
plt.show()

# %% [markdown]
# In steps, on your own parameters: `weight_normalised_sgd` keeps $s$ and $w$ to itself,
# and equals `optax.sgd` on `flows.weight_normalised(objective)`. Its $|w|^2$ grows at
# every step, by Pythagoras.

# %%
run = compare(objective, WEIGHT_NORMALISED_SGD(learning_rate=0.01), x0, t1=20.0)
run

# %% [markdown]
# ## 5. Two phases
#
# Hold the scale below $|x^*|$ first, and let the direction alone move: the unseen part
# then decays by a known factor a step. Let the scale go afterwards.

# %%
held, free = (flows.WeightNormalisedFlow(objective, c) for c in (0.0, 1.0))
first = flows.iterate(ProjectedEuler(), held, start, h=0.1, steps=150, save="last")
y = jax.tree.map(lambda a: a[-1], first.states)
second = flows.iterate(ProjectedEuler(), free, y, h=0.01, steps=3000, save="last")
solution = np.linalg.pinv(A) @ targets
np.linalg.norm(second.positions[-1] - solution), np.linalg.norm(P @ x0)

# %%
fig, numbers = figures.rpgd_two_phases()
plt.show()

# %% [markdown]
# ## 6. Checked
#
# Each law is a claim, with its source and with controls that must fail.

# %%
from proofs_check import check

check("gradient_flow.balancedness-step")

# %%
check("gradient_flow.weight-normalisation-limit")
