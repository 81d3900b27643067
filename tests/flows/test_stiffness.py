"""Warnings of dense implicit solvers, advice on stiff flows."""

import warnings

import diffrax
import jax
import jax.numpy as jnp
import lineax
import numpy as np
import pytest

from flows import ROCK4, DenseSolverWarning, GradientFlow, SolveFailed, solve
from flows.problems import quadratic
from flows.stiffness import LARGE, stability_bound, warn_of_dense_solver


def starting(n):
    return GradientFlow(quadratic(np.ones(n))), jnp.ones(n)


def test_an_implicit_solver_on_many_parameters_warns():
    flow, x = starting(LARGE)
    with pytest.warns(DenseSolverWarning, match="300 x 300 Newton matrices.*ROCK4"):
        jax.eval_shape(
            lambda x: solve(flow, x, 0.0, 1.0, solver=diffrax.Kvaerno5()).states, x
        )


def test_others_do_not_warn():
    flow, x = starting(LARGE)
    small, y = starting(LARGE - 1)
    krylov = diffrax.VeryChord(
        rtol=1e-6, atol=1e-6, linear_solver=lineax.GMRES(rtol=1e-6, atol=1e-6)
    )
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        warn_of_dense_solver(diffrax.Kvaerno5(), flow, x)
        assert [w.category for w in seen] == [DenseSolverWarning]
        seen.clear()
        warn_of_dense_solver(None, flow, x)
        warn_of_dense_solver(diffrax.Tsit5(), flow, x)
        warn_of_dense_solver(ROCK4(), flow, x)
        warn_of_dense_solver(diffrax.Kvaerno5(), small, y)
        warn_of_dense_solver(diffrax.Kvaerno5(root_finder=krylov), flow, x)
    assert not seen


@pytest.mark.slow
def test_a_stiff_flow_that_runs_out_of_steps_is_told_of_rock4():
    flow = GradientFlow(quadratic(np.array([1.0, 1e4])))
    with pytest.raises(SolveFailed, match=r"The flow is stiff.*flows\.ROCK4\(\)"):
        solve(flow, jnp.ones(2), 0.0, 10.0, max_steps=1000)
    # Where the tolerance asks for short steps, stability is not to blame.
    calm = GradientFlow(quadratic(np.array([1.0, 2.0])))
    with pytest.raises(SolveFailed) as caught:
        solve(calm, jnp.ones(2), 0.0, 10.0, max_steps=5)
    assert "stiff" not in str(caught.value)


def test_advice_is_for_explicit_solvers_near_their_bound():
    flow, x = GradientFlow(quadratic(np.array([1.0, 100.0]))), jnp.ones(2)
    assert "ROCK4" in stability_bound(diffrax.Tsit5(), flow, 0.0, x, 0.03)
    for solver, step in (
        (diffrax.Tsit5(), 0.003),
        (diffrax.Tsit5(), 0.3),
        (diffrax.Kvaerno3(), 0.03),
        (ROCK4(), 0.03),
    ):
        assert stability_bound(solver, flow, 0.0, x, step) == ""
