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
# # Why Langevin needs taming
#
# Langevin dynamics $dX = -\nabla f(X)\,dt + \sqrt{2T}\,dB$ samples $e^{-f/T}$, and one
# step of explicit Euler is the unadjusted Langevin algorithm. Where $\nabla f$ grows
# faster than linearly (already for $f = (x^2-1)^2/4$) the equation is harmless and the
# algorithm is not: sooner or later it explodes. Here: from where, with what
# probability, why a simulation may never show it, and what taming costs.

# %%
import jax

jax.config.update("jax_enable_x64", True)  # theory wants float64: first cell

import diffrax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from discretize import (
    Euler,
    Milstein,
    NormTaming,
    TamedEuler,
    TransitionKernel,
    bias_constants,
    diffrax_terms,
    figures,
    strong_order,
    tamed_solver,
)
from flows import iterate
from flows.problems import double_well
from proofs_check import check
from sde import ItoDiffusion, OverdampedLangevin, simulate

well = double_well()  # (x² - 1)²/4, so that dX = (X - X³) dt + √(2T) dB
process = OverdampedLangevin(well, 1.0)

# %% [markdown]
# ## 1. One Brownian path, two schemes
#
# Both start at the same point, a little outside of the dashed line, and get the same
# noise.
# %%
figure, shown = figures.tamed_paths()

# %% [markdown]
# ## 2. The threshold
#
# Without noise the step is $x^+ = x + h(x - x^3)$, and
# $|x^+|^2 - |x|^2 = h^2 x^2 (x^2-1)(x^2 - R^2)$ with $R = \sqrt{1 + 2/h}$: beyond $R$
# every step goes further out, on the other side. The claim below traces the step and
# proves the identity with $h$ a symbol; its controls must fail.
# %%
check("langevin.euler-threshold")

# %% [markdown]
# Two starts, 0.1 % on either side of $R$, and a tamed step from a million:
# %%
h = 0.1
R = np.sqrt(1 + 2 / h)
calm = OverdampedLangevin(well, 0.0)
for factor in (0.999, 1.001):
    run = iterate(
        Euler(), calm, jnp.array([factor * R]), h=h, steps=60, throw=False,
        noise=jnp.zeros((60, 1)),
    )  # fmt: skip
    print(f"x0 = {factor} R: {run.end}; last state {run.positions[-1, 0]:.4g}")
tamed = iterate(
    TamedEuler(), calm, jnp.array([1e6]), h=h, steps=5, noise=jnp.zeros((5, 1))
)
print("tamed, from a million:", np.asarray(tamed.positions)[:, 0])

# %% [markdown]
# ## 3. The probability of an explosion
#
# With noise every path of Euler crosses $R$ in the end. The law of the chain is
# propagated exactly (an integral operator on Gauss-Legendre nodes), so that there is no
# Monte-Carlo error; a simulation stands beside it. The curve falls off a cliff: at
# $h = 0.1$ one path in ten billion explodes. No simulation will show it, and the
# moments of Euler diverge all the same.
# %%
sizes = np.array([0.1, 0.125, 0.15625, 0.2, 0.25, 0.3125])
horizon = 50.0


def explosion_probability(scheme, h):
    reach = np.sqrt(1 + 2 / h) + 8 * np.sqrt(2 * h)
    kernel = TransitionKernel(scheme, process, h, box=(-reach, reach))
    return kernel.explosion_probability(0.0, round(horizon / h))


exact = [explosion_probability(Euler(), h) for h in sizes]
sample_sizes, counted = (0.2, 0.25, 0.3125), []
for h in sample_sizes:
    run = simulate(
        process, jnp.zeros(1), t1=horizon, scheme=Euler(), h=h, key=1, paths=4000
    )
    counted.append(float(np.mean(np.asarray(run.nonfinite))))

fig, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
ax.semilogy(sizes, exact, "o-", label="exact, by the kernel")
ax.semilogy(sample_sizes, counted, "x", ms=9, label="4000 simulated paths")
ax.set(xlabel="step $h$", ylabel=f"P(explosion by t = {horizon:g})", ylim=(1e-11, 2))
ax.legend(frameon=False)

# %% [markdown]
# The tamed chain on the same noise cannot explode: a step of its drift is shorter
# than 1.
# %%
run = simulate(
    process, jnp.zeros(1), t1=horizon, scheme=TamedEuler(), h=0.3125, key=1, paths=4000
)
print("tamed paths lost:", int(np.sum(np.asarray(run.nonfinite))), "of", run.paths)

# %% [markdown]
# ## 4. What a taming does to the step
#
# $b/(1 + h|b|)$ (tamed Euler, TULA) bounds a step of drift by 1; TheoPouLa works by
# coordinates, bounds each by $\sqrt h$, and *boosts* small gradients.
# %%
figure, shown = figures.taming_map()

# %% [markdown]
# ## 5. What it costs: strong errors
#
# The same Brownian paths for every step size and scheme; the slope has an interval that
# contains what is not asymptotic yet. With additive noise $b/(1 + h|b|)$ keeps order 1,
# and $b/(1 + \sqrt h|b|)$ costs half an order.
# %%
schemes = {
    "Euler": Euler(),
    "tamed by h|b|": TamedEuler(),
    "tamed by √h|b|": TamedEuler(NormTaming(0.5)),
}
ladder = {"t1": 1.0, "hs": 0.5 ** np.arange(4, 9), "paths": 500, "key": 0}
additive = OverdampedLangevin(well, 0.245)
for name, found in strong_order(additive, schemes, jnp.array([2.0]), **ladder).items():
    print(f"{name:>15}: {found}")

# %% [markdown]
# Multiplicative noise $X\,dB$: all of these have order 1/2, and Milstein's correction
# brings 1 back. (From $h = 1/16$ on, the slope of tamed Euler would read 0.66: those
# steps are not small enough.)


# %%
def drift(t, y):
    return y - y**3


def sigma(t, y):
    return y


multiplicative = ItoDiffusion(drift, sigma)
schemes = {"tamed Euler": TamedEuler(), "tamed Milstein": Milstein(NormTaming())}
ladder["hs"] = 0.5 ** np.arange(6, 11)
found = strong_order(multiplicative, schemes, jnp.ones(1), norm="sup", **ladder)
fig, ax = plt.subplots(figsize=(5.2, 3.4), layout="constrained")
for name, one in found.items():
    one.plot(ax, label=f"{name}: slope {one.slope:.2f}")
    print(f"{name:>15}: {one}")
ax.legend(frameon=False)

# %% [markdown]
# ## 6. What it costs: the law in the long run
#
# As a sampler the tamed chain is biased, to leading order by a constant times $h$ that
# is an integral, known before anything is run.
# %%
constants = bias_constants(TamedEuler(), process)
constants

# %% [markdown]
# ## 7. The same in diffrax
#
# diffrax's drift terms do not see the step, and taming needs it. `tamed_solver` tames
# inside a one-stage solver; solvers of several stages are refused. From $x_0 = 30$
# plain Euler is gone, on the same Brownian tree.
# %%
tree = diffrax.VirtualBrownianTree(
    0.0, 1.0, tol=1 / 256, shape=(1,), key=jax.random.key(0)
)
terms, times = diffrax_terms(additive, tree), jnp.arange(65) / 64
for name, solver in (("plain", diffrax.Euler()), ("tamed", tamed_solver())):
    end = diffrax.diffeqsolve(
        terms, solver, 0.0, 1.0, None, jnp.array([30.0]),
        stepsize_controller=diffrax.StepTo(times), throw=False,
    ).ys[-1]  # fmt: skip
    print(f"{name}: X(1) = {end[0]:.6g}")

# %% [markdown]
# ## To remember
#
# - Explicit Euler with a superlinear drift explodes with positive probability at every
#   step size; the probability may be invisible, its effect on moments is not.
# - Taming by $h|b|$ removes that at the price of a bias of order $h$; taming by
#   $\sqrt h|b|$ costs half an order.
# - Taming is not scale free: $\epsilon$, $|b|$ and 1 are compared, so that rescaling
#   the loss changes the method.
