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
# # Acceleration by regularisation
#
# Why does a *larger* learning rate train Scalar RMSProp faster? Not because its steps
# are larger: at the edge of stability the effective step is $2/S$, whatever $\eta$ is.
# A larger $\eta$ makes the oscillation stronger; the oscillation pushes the sharpness
# $S$ down; and a lower sharpness lets the steps grow (Cohen, Damian, Talwalkar, Kolter
# and Lee, arXiv 2410.24206).

# %%
import jax

jax.config.update("jax_enable_x64", True)

import matplotlib.pyplot as plt
import numpy as np

from discretize import SCALAR_RMSPROP, CentralEuler, compare
from flows import CentralFlow, iterate
from flows.central import ScalarRMSProp
from flows.problems import small_digits, warm_start

scheme = CentralEuler(block=4, margin=0.05)
objective, params = small_digits(gain=0.3)
params = warm_start(objective, params, 2.0)
x = objective.ravel(params)
square = float(np.sum(np.asarray(objective.gradient(x)) ** 2))

# %% [markdown]
# ## 1. First: is the flow to be trusted?
#
# $\nu_k = \beta\nu_{k-1} + (1-\beta)|g_k|^2$, $w_{k+1} = w_k - \eta g_k/\sqrt{\nu_k}$
# on digits. What to see: loss, sharpness and size of the oscillation agree with the
# predictions, and the central flow stays near while the stable flow is soon far away.

# %%
row = SCALAR_RMSPROP(learning_rate=0.06, decay=0.97, eps=0.0, initial_scale=square)
run = compare(objective, row, params, steps=120, dynamics=CentralFlow, scheme=scheme)
run.figure()
plt.show()

# %% [markdown]
# ## 2. Take the force away
#
# In a flow we may do what no optimiser can: keep the oscillation's effect on $\nu$,
# which pins the effective sharpness at 2, and drop its force on the weights. That is
# the *ablated* flow.

# %%
steps, flows_of = 120, {}
for eta in (0.03, 0.06):
    for ablated in (True, False):
        rule = ScalarRMSProp(eta, 0.97, initial=square)
        flow = CentralFlow(objective, rule, ablated=ablated)
        path = iterate(scheme, flow, flow.start(x), h=1.0, steps=steps)
        flows_of[eta, ablated] = path

fig, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.6), layout="constrained")
for (eta, ablated), path in flows_of.items():
    style = {"ls": "--" if ablated else "-", "color": "C1" if eta == 0.03 else "C0"}
    name = f"η = {eta}" + (", without the force" if ablated else "")
    left.semilogy(path.loss, **style, label=name)
    right.plot(eta / np.sqrt(path.states.memory), **style)
left.set(xlabel="step", ylabel="loss")
right.set(xlabel="step", ylabel=r"effective step $\eta/\sqrt{\nu}$")
left.legend(frameon=False)
plt.show()

# %% [markdown]
# What to see: without the force, twice the learning rate buys almost nothing (dashed
# lines meet). With it, the steps of the larger $\eta$ grow, and the loss falls faster.
#
# ## 3. How good is the preconditioner?
#
# For one more unit of time, $w' = -g/p$ lowers the loss at the rate $|g|^2/p$,
# $p = \sqrt\nu/\eta$. We compare the two flows by that *optimisation speed* per unit of
# $|g|^2$: it is the effective step.

# %%
for (eta, ablated), path in flows_of.items():
    speed = eta / float(np.sqrt(path.states.memory[-1]))
    sharp = float(path.aux.eigenvalues[-1, 0]) / speed
    kind = "without the force" if ablated else "central flow"
    print(
        f"η = {eta}, {kind:18}: step {speed:.3f}, 2/S = {2 / sharp:.3f}, "
        f"S = {sharp:.2f}, loss {float(path.loss[-1]):.5f}"
    )
