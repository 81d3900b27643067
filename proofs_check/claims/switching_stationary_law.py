"""The stationary law of switching quadratics: Dirichlet weights on the centres."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
import sympy

from flows import quadratic_sum
from flows.symbolic import symbol_vector
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.papers import stochastic_gradient_process
from proofs_check.switching_quadratics import (
    example_state,
    forward_defects,
    symbolic_process,
)
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
        "by densities for $N$ up to 4; by moments of low degree for $N = 5$",
    ),
    grade="proved",
    delta=0.03,
    quick_delta=0.05,
)
def dirichlet_law(ctx: Context) -> Iterator[Evidence]:
    """The densities solve the forward equation; κ, α and γ are symbols.

    The weights move by α w' = -κ(w - e_I), which is the process itself with the
    corners of a simplex for its centres; any other x is Σ w_i a_i of it. At label i
    the density is w_i Π_j w_j^{θ/N - 1}, and no mass flows through a face: the field
    vanishes on it, or the density times the distance does. N = 2 and 3, in full runs
    also 4.
    """
    for labels in ctx.choose((2, 3), (2, 3, 4)):
        yield _densities(labels)


def _densities(labels: int, convention: str = "never_repeat") -> Evidence:
    """The forward equation of clocks that never repeat, with a convention's law."""
    corners = np.eye(labels, dtype=int)[:, :-1]
    process = symbolic_process(labels, momentum=False, centres=corners)
    law = switching_law(
        symbolic_process(labels, momentum=False, centres=corners, convention=convention)
    )
    x = symbol_vector("w", labels - 1, positive=True)
    weights = [*x, 1 - sum(x)]
    common = sympy.prod(
        w ** (c - 1) for w, c in zip(weights, law.concentrations, strict=True)
    )
    found = forward_defects(process, x, [w * common for w in weights])
    return identical(
        found, np.zeros(labels, dtype=object), f"forward equation, N = {labels}"
    )


def _stationary(process: Any, law: Any = None, degree: int = 3) -> Evidence:
    law = switching_law(process) if law is None else law
    state = example_state(process)
    found = is_stationary(process, law.moment, degree, y=state)
    return decide.identity(found, name="∫ L φ dπ = 0")


@dirichlet_law.control("the law of a clock that may draw the old label again")
def _(ctx: Context) -> Evidence:
    return _densities(2, "fresh_draw")


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
