"""Optimisers that are explicit Euler on a first-order flow: optax traced."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import optax

from discretize import (
    EXPONENTIATED_GRADIENT,
    NORMALISED_GD,
    POLYAK,
    POLYAK_SGD,
    SIGN_SGD,
    Correspondence,
    prove,
)
from discretize.rows.common import position
from flows import MirrorFlow, SimplexEntropy
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.claims.mirror_flows import KIVINEN
from proofs_check.claims.speed_flows import BERNSTEIN
from proofs_check.claims.variant_flows import CORTES, DHERIN
from proofs_check.context import Context
from proofs_check.evidence import Evidence

SLOPES = (r"$f$ differentiable", r"$\nabla f \ne 0$ at the points visited")


def _euler_claim(
    key: str,
    title: str,
    statement: str,
    source,
    row: Correspondence,
    hypotheses=(r"$f$ differentiable",),
):
    @claim(
        f"gradient_flow.{key}-is-euler",
        title=title,
        source=source,
        statement=statement,
        hypotheses=hypotheses,
        grade="proved",
    )
    def exact(ctx: Context) -> Evidence:
        return decide.identity(prove(row), name=f"{row.name} = Euler", route="traced")

    @exact.control("a clock 1/1000 too fast")
    def _(ctx: Context) -> Evidence:
        fast = dataclasses.replace(row, clock=lambda hyper: 1.001 * row.clock(hyper))
        return decide.identity(prove(fast), name=f"{row.name} = Euler")

    return exact


SIGN_IS_EULER = _euler_claim(
    "sign-sgd",
    "Sign descent is explicit Euler on the sign flow",
    r"x_{k+1} = x_k - \eta\,\mathrm{sign}(\nabla f(x_k))",
    BERNSTEIN,
    SIGN_SGD,
)
NORMALISED_IS_EULER = _euler_claim(
    "normalised-gd",
    "Normalised gradient descent is explicit Euler on the normalised flow",
    r"x_{k+1} = x_k - \eta \nabla f(x_k)/(|\nabla f(x_k)| + \epsilon)",
    CORTES,
    NORMALISED_GD,
)
POLYAK_IS_EULER = _euler_claim(
    "polyak",
    "A fraction η of Polyak's step is Euler of step η on the Polyak flow",
    r"x_{k+1} = x_k - \eta \frac{f(x_k) - f^*}{|\nabla f(x_k)|^2}\nabla f(x_k)",
    DHERIN,
    POLYAK,
    SLOPES,
)
POLYAK_SGD_IS_EULER = _euler_claim(
    "polyak-sgd",
    "optax.polyak_sgd is Euler of step 1 on the Polyak flow: the corridor rate",
    r"x_{k+1} = x_k - \frac{f(x_k) - f^*}{|\nabla f(x_k)|^2}\nabla f(x_k)"
    r"\ \text{(optax.polyak\_sgd, max\_learning\_rate}=\infty)",
    DHERIN,
    POLYAK_SGD,
    SLOPES,
)


def _with_defaults(hyper):
    return optax.polyak_sgd(f_min=hyper["f_min"], eps=hyper["eps"])


@POLYAK_SGD_IS_EULER.control("optax's own default, which clips at 1")
def _(ctx: Context) -> Evidence:
    row = dataclasses.replace(POLYAK_SGD, optimizer=_with_defaults)
    return decide.identity(prove(row), name="optax.polyak_sgd() = Euler")


def _scaled(hyper):
    names = ("max_learning_rate", "f_min", "eps")
    return optax.polyak_sgd(scaling=0.5, **{n: hyper[n] for n in names})


@POLYAK_SGD_IS_EULER.control("optax's scaling 1/2 as a step of 1/2 (it divides)")
def _(ctx: Context) -> Evidence:
    row = dataclasses.replace(
        POLYAK_SGD, optimizer=_scaled, clock=lambda h: jnp.full_like(h["f_min"], 0.5)
    )
    return decide.identity(prove(row), name="optax.polyak_sgd(scaling=1/2) = Euler")


EG_IS_EULER = _euler_claim(
    "exponentiated-gradient",
    "Exponentiated gradient is explicit Euler on mirror flow's dual variable",
    r"\log x_{k+1} = \log x_k - \eta \nabla f(x_k) - \text{const},\quad"
    r" \textstyle\sum_i x_{k,i} = 1",
    KIVINEN,
    EXPONENTIATED_GRADIENT,
    (r"$f$ differentiable", r"$x_0$ in the open simplex"),
)


def _primal(objective, hyper):
    del hyper
    return MirrorFlow(objective, SimplexEntropy())


@EG_IS_EULER.control("Euler in the primal variable")
def _(ctx: Context) -> Evidence:
    row = dataclasses.replace(
        EXPONENTIATED_GRADIENT, dynamics=_primal, scheme_start=position
    )
    return decide.identity(prove(row), name=f"{row.name} = Euler")
