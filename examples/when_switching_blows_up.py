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
# # When switching blows up
#
# Stochastic gradient descent in continuous time: a particle follows $-\nabla f_I$, and
# the label $I$ of the loss in force jumps at random. The rates below are exact, from
# the moment equations of the process; simulations only show what they look like.
#
# Two things can go wrong. A loss with *negative* curvature gives the stationary law a
# heavy tail. And with momentum even two *convex* losses can blow up together.

# %%
import jax

jax.config.update("jax_enable_x64", True)  # theory wants float64: first cell

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import flows
import sde

# %% [markdown]
# ## 1. Two good wells, and their moments
#
# $f_i = \kappa(x - a_i)^2/2$ with $a = \pm 1$. The second moments close; two linear
# solves give the stationary covariance. Momentum *widens* it.

# %%
centres = np.array([[1.0], [-1.0]])
index = sde.UniformIndex(2, 1.0)  # rings at rate 1, relaxes at rate r = 2
wells = flows.quadratic_sum(centres, 1.0)

print(
    "mass 0  :",
    sde.stationary_switched_moments(
        sde.StochasticGradientProcess(wells, index)
    ).covariance[0, 0],
)
for mass in (0.1, 1.0, 10.0):
    heavy = sde.StochasticGradientMomentumProcess(wells, index, mass)
    moments = sde.stationary_switched_moments(heavy)
    print(f"mass {mass:<4}:", moments.covariance[0, 0])

# %% [markdown]
# The first number is $s^2\kappa/(\kappa + \alpha r) = 1/3$. For a large mass the
# variance tends to $\kappa s^2/(\alpha r) = 1/2$.
#
# ## 2. One bad well
#
# Now let the second loss be a hill: curvatures $2$ and $-1$. The mean curvature is
# positive, so the process has a stationary law, but the law remembers long stays on
# the hill. $E|X|^p$ is finite only for $p < p^*$, the *tail index*.


# %%
def hill(rate):
    losses = flows.quadratic_sum([[0.0], [-1.0]], np.array([2.0, -1.0]))
    return sde.StochasticGradientProcess(losses, sde.UniformIndex(2, rate))


for rate in (3.0, 4.0, 6.0):
    print(f"rate {rate}: p* = {sde.tail_index(hill(rate))[0]:.3f}")

# %% [markdown]
# At rate 3 the tail index is 1.5: there is no variance, and asking for one is refused
# rather than answered with a number.

# %%
try:
    sde.stationary_switched_moments(hill(3.0))
except flows.BadInput as refusal:
    print(refusal)

# %% [markdown]
# What does a sample variance do then? It never settles. Below, the running variance of
# independent paths at time 40, long after rate 12 has reached its stationary law. At
# rate 3 the far tail is still filling up then, and has no variance to settle to: each
# jump upwards is *one* path.

# %%
paths = 20_000
fig, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
for rate, colour in ((3.0, "#D55E00"), (12.0, "#0072B2")):
    start = sde.SwitchingState(jnp.ones((paths, 1)), jnp.arange(paths) % 2)
    run = sde.simulate_skeletons(hill(rate), start, t1=40.0, key=1, paths=paths)
    x = np.asarray(run.final.position)[:, 0]
    count = np.arange(1, paths + 1)
    running = np.cumsum(x**2) / count - (np.cumsum(x) / count) ** 2
    index_tail = sde.tail_index(hill(rate))[0]
    label = f"rate {rate:g}, tail index {index_tail:g}"
    ax.loglog(count[9:], running[9:], color=colour, label=label)
exact = sde.stationary_switched_moments(hill(12.0)).covariance[0, 0]
ax.axhline(float(exact), ls="--", color="#0072B2", lw=1, label="exact, rate 12")
ax.set(xlabel="paths in the sample", ylabel="sample variance of $x$")
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# ## 3. Two good wells that blow up together
#
# Curvatures $1 \pm \sigma$, one common minimum at 0. Without momentum every path goes
# to 0. With momentum, a path that is switched at the wrong moments is *pumped*, like a
# swing: the soft well lets it travel, the stiff well throws it back.
#
# The growth rate of $E\,x^2$ is the largest real part of the eigenvalues of a
# $6 \times 6$ matrix. `moment_abscissa` reports it.


# %%
def swing(sigma, r, friction=0.1):
    losses = flows.quadratic_sum(np.zeros((2, 1)), np.array([1 + sigma, 1 - sigma]))
    switch = sde.UniformIndex(2, r / 2)
    return sde.StochasticGradientMomentumProcess(losses, switch, 1.0, friction)


for r in (0.2, 2.0, 20.0):
    print(f"r = {r:>4}: growth rate {float(sde.moment_abscissa(swing(0.75, r))):+.4f}")

# %% [markdown]
# Neither slow nor fast switching is dangerous: slow switching leaves each well the time
# to damp, fast switching averages. Between them is a tongue of instability, and its
# edge is known exactly:
# $$\sigma_c^2 = \frac{\alpha\bar\kappa(\alpha + mr)(2\alpha r + 4\bar\kappa + mr^2)}
# {(2\alpha + mr)^2}.$$

# %%
from discretize import figures

figure, numbers = figures.mean_square_stability()
plt.show()
print(numbers.caption)

# %% [markdown]
# ## 4. Would you have noticed?
#
# The mean square grows, and yet the median path decays: the growth sits in rare paths.
# Compare the exact $E\,x^2$ with averages over 30 runs each.

# %%
times = np.linspace(0.5, 60.0, 120)
start = sde.SwitchingMomentumState(jnp.ones(1), jnp.zeros(1), 0)
exact = sde.transient_switched_moments(
    swing(0.75, 2.0), start, times, weights="stationary"
)
many = sde.SwitchingMomentumState(
    jnp.ones((3000, 1)), jnp.zeros((3000, 1)), jnp.arange(3000) % 2
)
runs = sde.simulate_skeletons(swing(0.75, 2.0), many, t1=60.0, key=2, paths=3000)
squares = np.asarray(runs.at(jnp.asarray(times)).position)[..., 0] ** 2
groups = squares.reshape(len(times), 100, 30).mean(axis=-1)

fig, ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
ax.semilogy(times, groups[:, :25], color="0.75", lw=0.7)
ax.semilogy(times, exact.second[:, 0, 0], color="#D55E00", lw=2.2, label="exact mean")
ax.semilogy(times, np.median(squares, axis=1), ":", color="black", label="median path")
ax.plot([], [], color="0.75", label="averages of 30 runs")
ax.set(xlabel="time $t$", ylabel="$x^2$", ylim=(3e-2, 1e3))
ax.legend(frameon=False, loc="upper left")
plt.show()
below = np.mean(groups[-1] < float(exact.second[-1, 0, 0]))
print(f"{below:.0%} of the averages lie below the mean at the end")

# %% [markdown]
# So a verdict by trajectories alone is worth little here. An average of $n$ runs has
# the relative variance $(E\,x^4/(E\,x^2)^2 - 1)/n$, and $E\,x^4$ grows at *more than
# twice* the rate of $E\,x^2$: the number of runs that are needed grows exponentially.

# %%
second, fourth = (float(sde.moment_abscissa(swing(0.75, 2.0), p)) for p in (2, 4))
print(f"E x^2 grows at the rate {second:+.3f}, E x^4 at {fourth:+.3f}")
print(f"the runs that are needed at {fourth - 2 * second:+.3f}")

# %% [markdown]
# ## 5. The proof
#
# The threshold is a claim of the catalogue: the determinant is traced from the
# process's own generator, with symbols for all parameters, and its controls must fail.

# %%
from proofs_check import check

check("pdmp.momentum-destabilises")
