"""The stationary law of switching quadratics: Dirichlet weights on the centres."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from flows import quadratic_sum
from flows.symbolic import symbol_vector
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.papers import stochastic_gradient_process
from proofs_check.switching_quadratics import example_state, symbolic_process
from sde import (
    DirichletMixture,
    StochasticGradientProcess,
    SwitchingState,
    UniformIndex,
    is_stationary,
    simulate_skeletons,
    switching_law,
)

LATZ = stochastic_gradient_process("the process; its law is derived here")
TRIANGLE = np.array([[-1.0, 0.0], [1.0, 0.0], [0.2, 1.5]])
DIRECTION = np.array([0.8, -0.5])
FRICTION, CURVATURE = 0.9, 1.2
GRID = 6000


@claim(
    "pdmp.dirichlet-law",
    title="Switching between quadratics of one curvature has a Dirichlet mixture "
    "as its stationary law",
    source=LATZ,
    statement=r"\alpha\dot x = -\kappa(x - a_I)\ \Rightarrow\ x \sim \sum_i w_i a_i,"
    r"\quad w \sim \mathrm{Dirichlet}\Bigl(\frac{\theta}{N},\dots,\frac{\theta}{N}"
    r"\Bigr),\quad \theta = \frac{\alpha r}{\kappa}",
    hypotheses=(
        "the label is uniform on N labels, of relaxation rate $r$",
        r"$f_i(x) = \kappa|x - a_i|^2/2$, one $\kappa > 0$ for all",
    ),
    grade="proved",
    delta=0.03,
    quick_delta=0.05,
)
def dirichlet_law(ctx: Context) -> Evidence:
    """∫ L φ dπ = 0 for monomials times labels; N = 3, every parameter a symbol.

    Up to degree 2 in quick runs, 4 in full ones.
    """
    process = symbolic_process(3, momentum=False)
    return _stationary(process, degree=ctx.choose(2, 4))


def _stationary(process: Any, law: Any = None, degree: int = 3) -> Evidence:
    law = switching_law(process) if law is None else law
    state = example_state(process)
    found = is_stationary(process, law.moment, degree, y=state)
    return decide.identity(found, name="∫ L φ dπ = 0")


@dirichlet_law.control("the law of a clock that may draw the old label again")
def _(ctx: Context) -> Evidence:
    law = switching_law(symbolic_process(3, momentum=False, convention="fresh_draw"))
    return _stationary(symbolic_process(3, momentum=False), law, degree=2)


@dirichlet_law.control("curvatures that differ, the law of their mean")
def _(ctx: Context) -> Evidence:
    process = symbolic_process(2, momentum=False, common=False)
    k, theta = process.objective.curvatures, process.friction * 2 * process.index.rate
    each = theta / (k[0] + k[1])
    law = DirichletMixture(process.objective.centres, np.array([each, each]))
    return _stationary(process, law, degree=1)


@dirichlet_law.route("in the plane", grade="proved")
def _(ctx: Context) -> Evidence:
    """Three centres in the plane, up to degree 3; the label may repeat."""
    centres = [[0, 0], [1, 0], [-1, 2]]
    process = symbolic_process(
        3, momentum=False, convention="fresh_draw", centres=centres
    )
    return _stationary(process)


@dirichlet_law.route("five centres", grade="proved")
def _(ctx: Context) -> Evidence:
    """Five symbols for the centres, up to degree 2."""
    centres = symbol_vector("a", 5)[:, None]
    return _stationary(symbolic_process(5, momentum=False, centres=centres), degree=2)


@dirichlet_law.route("simulated", grade="estimated")
def _(ctx: Context) -> Evidence:
    """A direction across a triangle: paths without a step error against the law.

    Paths start at the mean of the centres; what is left of the start after time 16
    moves x by less than 2 e^{-21}. F is interpolated on a grid, wrong by less than the
    largest cell's mass; both are the bias allowed for.
    """
    index = UniformIndex(3, 1.1)
    objective = quadratic_sum(TRIANGLE, CURVATURE)
    process = StochasticGradientProcess(objective, index, FRICTION)
    law = switching_law(process).along(DIRECTION)
    ends = TRIANGLE @ DIRECTION
    grid = np.linspace(ends.min(), ends.max(), GRID)
    values = law.cdf(grid)
    bias = 1e-6 + float(np.max(np.diff(values)))
    n = decide.law_sample_size(ctx.delta - 2 * bias)
    start = SwitchingState(jnp.asarray(TRIANGLE.mean(axis=0)), None)
    key = int(ctx.rng("key").integers(2**31))
    run = simulate_skeletons(process, start, t1=16.0, key=key, paths=n)
    return decide.law(
        "Σ w_i a_i along a direction",
        np.asarray(run.final.position) @ DIRECTION,
        lambda x: np.interp(x, grid, values),
        delta=ctx.delta,
        bias=bias,
        unit="sup distance of distribution functions",
        data={"xlabel": "position along a direction"},
    )
