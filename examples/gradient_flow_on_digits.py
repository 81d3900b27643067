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
# # Gradient flow on real data
#
# Gradient descent with learning rate η is Euler's method for gradient flow,
# $\dot x = -\nabla f(x)$. How far apart are they on a network that learns handwritten
# digits, what decides it, and what can be proved?

# %%
import jax

jax.config.update("jax_enable_x64", True)

import matplotlib.pyplot as plt
import numpy as np

import discretize
from discretize import SGD, compare, figures
from flows.problems import digits_mlp

objective, params = digits_mlp(rows=300, hidden=8, loss="cross_entropy", bias=False)
objective.size

# %% [markdown]
# ## Side by side
#
# Descent with η = 0.2 up to time 20, and the flow from the same start. What to see: the
# distance between the two stays a small part of the way that both have gone.

# %%
eta, t1 = 0.2, 20.0
run = compare(objective, SGD(learning_rate=eta), params, t1=t1)
gone = np.linalg.norm(run.positions - run.positions[0], axis=1)

fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
run.flow.plot(left, color="black", label="gradient flow")
loss = [float(objective.value(x)) for x in run.positions[::5]]
left.plot(run.times[::5], loss, "o", ms=4, label="gradient descent, every 5th step")
left.legend(frameon=False)
right.plot(run.times, gone, color="black", label="way gone from the start")
right.plot(run.times, run.distance, label="descent to flow")
right.set(yscale="log", xlabel="time $t$", ylabel="distance")
right.legend(frameon=False)
plt.show()

# %% [markdown]
# ## The first-order law
#
# Expanding Euler's error, $x_k = x(k\eta) + \eta\, c(k\eta) + O(\eta^2)$ with
# $\dot c = -\nabla^2 f\, c - \frac12 \nabla^2 f\, \nabla f$ and $c(0) = 0$. It is one
# more equation beside the flow, and no descent needs to be run to solve it.

# %%
times = eta * np.arange(len(run.times))
law = discretize.error_law(objective, params, times=times)

fig, ax = plt.subplots(figsize=(5.4, 3.4), layout="constrained")
ax.plot(run.times, run.distance, lw=3, alpha=0.4, label="measured")
ax.plot(
    times, law.distance(eta), "--", color="black", label=r"predicted, $\eta\,|c(t)|$"
)
ax.set(xlabel="time $t$", ylabel="descent to flow")
ax.legend(frameon=False)
plt.show()
print(f"at the end: {run.distance[-1]:.4f}, predicted {law.distance(eta)[-1]:.4f}")

# %% [markdown]
# ## What decides it: curvature along the way
#
# A defect made at time t' shrinks where the Hessian's eigenvalues are positive and can
# grow where the smallest is negative. On this network it is negative all along, but
# only a little once the loss has fallen.

# %%
fig, numbers = figures.curvature_along_flow()
print(numbers.caption)
print(f"sharpness: {numbers['e_max'][0]:.2f} to {numbers['e_max'].max():.2f} at most,")
print(f"and descent with this step is stable below {2 / eta:.0f}")
plt.show()

# %%
fig, numbers = figures.growth_of_defects()
print(numbers.caption)
plt.show()

# %% [markdown]
# ## What the theorem asks of the step size
#
# Elkabetz and Cohen (2021) turn this into a bound: if η is below a number made of the
# curvature in an ε-tube around the flow, descent stays in that tube. Here the curvature
# is looked at on a grid of times, so it is an *estimate* of what the theorem allows.
# Compare with η = 0.2, at which descent in fact stays close: the theorem has to allow
# for the worst direction at each time, and is careful by a factor of thousands.

# %%
discretize.approximation(objective, params, t1=t1, cells=10)

# %% [markdown]
# ## A certificate
#
# For a two-layer linear network and rational data, every number of the theorem can be
# bounded in ball arithmetic: the flow itself, its curvature, every rounding error. The
# result is a proof. Descent is then run in balls, and its distance is enclosed too.

# %%
target = [[1, 0], [0, "1/2"]]
start = ([["3/10", "1/10"], ["-1/5", "2/5"]], [["1/4", 0], ["1/10", "1/2"]])
certificate = discretize.certify_linear_net(target, start, t1=2, pieces=10)
certificate

# %%
certificate.descend()

# %% [markdown]
# A step that the theorem does not cover gets no promise:

# %%
certificate.descend("9/10")
