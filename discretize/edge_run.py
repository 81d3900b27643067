"""The effective sharpness along a run of an optimiser, beside its edge."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
import optax

from discretize.correspondence import Pairing
from discretize.edge import edge
from discretize.optimiser import Fixed
from flows import BadInput, Objective
from flows.door import require_whole


class EdgeRun(NamedTuple):
    """The effective sharpness along a run of an optimiser, beside its edge.

    Attributes:
        steps: after which step each was measured, shape [measurements].
        sharpness: λ_max(P⁻¹H), shape [measurements].
        residual: an eigenvalue lies within it of `sharpness`, shape [measurements].
        loss: f at the same steps, shape [measurements].
        limit: the largest stable λ(P⁻¹H).
    """

    steps: np.ndarray
    sharpness: np.ndarray
    residual: np.ndarray
    loss: np.ndarray
    limit: float

    @property
    def ratio(self) -> np.ndarray:
        """Sharpness over limit: 1 at the edge of stability."""
        return self.sharpness / self.limit


def edge_along(
    method: Any,
    objective: Objective,
    params: Any,
    *,
    steps: int,
    every: int = 20,
    first: int = 0,
    tolerance: float = 1e-4,
) -> EdgeRun:
    """Train on the full batch and measure λ_max(P⁻¹H) every so many steps.

        run = edge_along(ADAM(learning_rate=3e-3), objective, params, steps=1200)
        plt.plot(run.steps, run.ratio)     # rises to 1, and stays: the adaptive edge

    Args:
        method: an optax optimiser, or a row at hyperparameters: with a row, other
            numbers compile nothing anew.
        objective: the loss.
        params: the start: the user's pytree.
        steps: of the run.
        every: steps between two measurements; divides `steps`.
        first: measurements up to this step are left out.
        tolerance: relative accuracy asked of the eigenvalues.

    Raises:
        BadInput: a number of steps that `every` does not divide; and as `edge` and
            `effective_sharpness`.
    """
    require_whole("every", every)
    require_whole("steps", steps)
    if steps % every or first >= steps:
        raise BadInput(
            f"every divides steps and first is below it; got steps={steps}, "
            f"every={every}, first={first}."
        )
    found = edge(method)
    if isinstance(method, Pairing):
        build, hyper = method.row.optimizer, method.hyper
    else:
        build, hyper = Fixed(method), None
    saved, losses = _run(build, hyper, objective, params, steps // every, every)
    rows = [k for k in range(steps // every) if (k + 1) * every > first]
    beside = []
    for k in rows:
        p, state = jax.tree.map(lambda a, k=k: a[k], saved)
        beside.append(found.at(objective, p, state, tolerance=tolerance).sharpness)
    return EdgeRun(
        np.array([(k + 1) * every for k in rows]),
        np.array([s.value for s in beside]),
        np.array([s.residual for s in beside]),
        np.asarray(losses)[rows],
        float(found.limit),
    )


@eqx.filter_jit
def _run(build, hyper, objective, params, blocks: int, every: int):
    """Parameters, optimiser's states and losses after every so many steps."""
    optimizer = optax.with_extra_args_support(build(hyper))

    def step(loop, _):
        params, state = loop
        value, gradient = jax.value_and_grad(objective.loss_of)(params)
        updates, state = optimizer.update(
            gradient, state, params, value=value, grad=gradient
        )
        return (optax.apply_updates(params, updates), state), None

    def block(loop, _):
        loop, _ = jax.lax.scan(step, loop, length=every)
        return loop, (loop, objective.loss_of(loop[0]))

    start = params, optimizer.init(params)
    return jax.lax.scan(block, start, length=blocks)[1]
