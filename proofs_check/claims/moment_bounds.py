"""Second moments of tamed chains: bounded for all time, under one hypothesis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import jax.numpy as jnp
import numpy as np

from discretize import (
    NormTaming,
    Polygonal,
    StateRootTaming,
    StateTaming,
    TamedEuler,
    Taming,
    TransitionKernel,
)
from flows.problems import double_well, norm_power
from flows.symbolic import exactly, symbol_vector
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.papers import tula_paper
from sde import Gaussian, OverdampedLangevin

TIME, SETTLED = 40.0, 5.0
BOUND = 2.0
"""b/a + nT/a with a = b = n = T = 1: the bound of the diffusion itself."""
CHAINS: dict[str, Taming] = {
    "TULA": NormTaming(),
    "mTULA": StateRootTaming(2.0),
    "TheoPouLa": Polygonal(0.1),
}
LEAK = 1e-6


def _kernel(taming: Taming, h: float, half: float, eta: float = 0.0):
    ridge = norm_power(eta, 2.0) if eta else None
    process = OverdampedLangevin(double_well(), 1.0, ridge)
    scheme, box = TamedEuler(taming), (-half, half)
    return TransitionKernel(scheme, process, h, box=box, resolution=3)


def _start() -> Gaussian:
    return Gaussian(jnp.full(1, 4.0), jnp.full((1, 1), 0.1), nodes=24)


def _largest(ctx: Context, kernel: TransitionKernel, name: str) -> Evidence:
    """The largest E X² between the times 5 and 40, from N(4, 0.01), one-sided.

    Over the mass that never left the box, hence no larger than the true one: where
    more than LEAK left, a value above the bound refutes it and one below says nothing.
    """
    steps = round(TIME / kernel.step.h)
    first = round(SETTLED / kernel.step.h) - 1
    lost = kernel.exit_probability(_start(), steps)
    found = kernel.ladder(
        lambda k: k.expectations(np.square, _start(), steps)[first:].max()
    )
    measured = decide.ladder(found, condition=1e4)
    note = f"{name} at step {kernel.step.h:g} on the double well"
    if lost > LEAK:
        note += f"; a lower bound: mass {lost:.3g} left {kernel.box} by then"
        if measured.value - measured.bias <= BOUND:
            measured = replace(measured, obstacle=f"mass {lost:.3g} left the box")
    return decide.upper_bound(
        BOUND,
        measured,
        delta=ctx.delta,
        quantity=name,
        note=note,
    )


@claim(
    "langevin.moment-bound",
    title="Second moments of tamed chains stay below the diffusion's own bound",
    source=tula_paper("moment bounds; the constant is that of the diffusion"),
    statement=r"\langle x, \nabla f\rangle \ge a|x|^2 - b\ \Rightarrow\ \limsup_t"
    r" E|X_t|^2 \le \frac ba + \frac{nT}{a};\qquad \sup_{5 \le kh \le 40} E X_k^2 \le"
    r" 2\ \text{for the chains}",
    hypotheses=(
        r"$f = (x^2 - 1)^2/4$, $T = 1$: $a = b = 1$",
        r"$X_0 \sim N(4, 0.01)$; the chains from time 5 on",
    ),
    grade="measured",
    delta=1e-6,
    quick_delta=1e-6,
    parameters={"h": 0.1},
)
def moment_bound(ctx: Context) -> Iterator[Evidence]:
    """TULA, mTULA and TheoPouLa, their laws propagated; the Gibbs value is 1.0418."""
    h = float(ctx.parameters["h"])
    chains = CHAINS if ctx.full else {k: CHAINS[k] for k in ("TULA", "TheoPouLa")}
    for name, taming in chains.items():
        yield _largest(ctx, _kernel(taming, h, 10.0), name)


@moment_bound.control("TUSLA, r = 2, without a regulariser")
def _(ctx: Context) -> Evidence:
    """Far out its drift is -1/(√h x): tails like |x|^{-1/√h} = |x|^{-3.16}.

    So E X² is finite and E X⁴ is not. Its part inside the box, a lower bound, exceeds
    2 all along: it falls from 7.05 at time 5 to 4.07 at time 40.
    """
    return _largest(ctx, _kernel(StateTaming(2.0), 0.1, 10.0), "TUSLA")


@moment_bound.route("the regulariser restores it", grade="measured")
def _(ctx: Context) -> Evidence:
    """TUSLA with r = 2 and η = 0.1: the drift grows again as fast as its taming."""
    kernel = _kernel(StateTaming(2.0), 0.1, 10.0, eta=0.1)
    return _largest(ctx, kernel, "TUSLA, regularised")


@moment_bound.route("dissipativity", grade="proved")
def _(ctx: Context) -> Evidence:
    """⟨x, ∇f⟩ - (|x|² - 1) = (x² - 1)² >= 0, and so the bound b/a + nT/a is 2."""
    x = symbol_vector("x", 1)
    gradient = exactly(lambda x: double_well().gradient(x), x)
    return identical(
        x[0] * gradient[0] - (x[0] ** 2 - 1),
        (x[0] ** 2 - 1) ** 2,
        "x f' - x² + 1 = (x² - 1)²",
    )
