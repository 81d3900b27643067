"""`compare` with a central flow: an optimiser, its central flow, its stable flow."""

from __future__ import annotations

import functools
import math
import os
from pathlib import Path
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from discretize.central_comparison import CentralComparison
from discretize.comparison import Outcome
from discretize.correspondence import Pairing
from discretize.optimiser import Fixed, OptaxStep, Training
from discretize.schemes import CentralEuler
from discretize.watched import Watched
from flows import (
    ROCK4,
    BadInput,
    CentralFlow,
    NonFiniteState,
    Objective,
    StableFlow,
    Trajectory,
    iterate,
    solve,
)
from flows.central import Momentum, refresh_block
from flows.central.validity import check_start, validity
from flows.door import require_instance, require_whole
from flows.progress import bar, compiling

STIFFEST = 100.0
"""Effective sharpness beyond which the stable flow is not followed."""

_FOLDERS = ("optimiser", "central_flow")
_PARTS = 20
_FOLLOWED = 4  # eigenvectors of the optimiser's own Hessian: three, and a guard


def compare_central(
    objective: Objective,
    optimizer: Pairing | optax.GradientTransformation,
    params: Any,
    *,
    steps: Any,
    dynamics: Any = CentralFlow,
    scheme: CentralEuler | None = None,
    every: int | None = None,
    stable: bool = True,
    checkpoint: str | os.PathLike[str] | None = None,
    allow_unstable: bool = False,
    progress: bool = False,
) -> CentralComparison:
    """Run an optimiser at the edge of stability beside its central flow.

        compare_central(objective, RMSPROP(learning_rate=1e-3), params, steps=300)

    `compare(..., dynamics=CentralFlow)` comes here. The clock is the optimiser's step.

    Reference: Cohen, Damian, Talwalkar, Kolter and Lee, "Understanding Optimization in
    Deep Learning with Central Flows", ICLR 2025, arXiv 2410.24206.

    Args:
        objective: the loss, smooth (GELU or tanh, no ReLU); the optimiser sees its
            full-batch gradient.
        optimizer: a row with a central flow (`SGD`, `HEAVY_BALL`, `NESTEROV`,
            `RMSPROP`, `SCALAR_RMSPROP`) at hyperparameters, whose learning rate may be
            an optax schedule; or an optax optimiser, with `dynamics=CentralFlow(
            objective, rule)`.
        params: the start, in the user's own pytree, below the edge.
        steps: number of optimiser steps.
        dynamics: `CentralFlow`, or a flow of that class (its objective and rule).
        scheme: how the flow is stepped; default `CentralEuler()`, with
            as many substeps as the rule's edge asks (4, or the edge rounded up).
        every: steps between measurements of the optimiser's eigenvalues; None for a
            hundred in all.
        stable: whether the stable flow is solved too.
        checkpoint: a folder: both runs are written there, and taken up again by the
            same call (see `flows.Checkpoint`).
        allow_unstable: return what there is of an optimiser that diverges.
        progress: show bars; an interrupt keeps what is done.

    Returns:
        A `CentralComparison`.

    Raises:
        BadInput: fewer than three steps, a row without a central flow, a rule that does
            not describe the optimiser, a start beyond the edge or with P = 0, and as
            `compare`.
        NonFiniteState: the optimiser left the finite numbers.

    Warns:
        ValidityWarning: a loss with kinks, float32, coordinates without gradient.
    """
    _require_settings(steps, CentralEuler() if scheme is None else scheme, every)
    every = max(1, int(steps) // 100) if every is None else every
    x = objective.ravel(params)
    flow, step, label = _sides(objective, optimizer, dynamics, x.dtype)
    if scheme is None:
        scheme = CentralEuler(substeps=max(4, math.ceil(float(flow.rule.edge) - 1e-6)))
    y0 = flow.start(x)
    findings = check_start(flow, y0)
    if isinstance(flow.rule, Momentum):
        # the buffer is empty at first: as if the path had begun some steps up the hill
        p = flow.rule.preconditioner(0.0, y0.memory)
        y0 = flow.start(x + _lag(flow.rule) * objective.gradient(x) / p)
    with compiling("the leading eigenvectors"):
        block = scheme.init(flow, 0.0, y0).block
    block = jax.tree.map(lambda a: a[..., :_FOLLOWED], block)
    places = [None if checkpoint is None else Path(checkpoint) / n for n in _FOLDERS]
    discrete = iterate(
        Watched(step, flow.rule, block, every),
        Training(objective),
        eqx.filter(objective.params(x), eqx.is_array),
        h=1.0,
        steps=steps,
        progress=progress,
        checkpoint=places[0],
        throw=False,
    )
    _refuse(label, discrete, flow, allow_unstable)
    done = discrete.times.size - 1
    central, beside = _flows_side(
        scheme, flow, y0, done, block if stable else None, places[1], progress
    )
    outcome = _outcome(discrete, central)
    report = None if central is None else validity(central, scheme, findings)
    runs = (discrete, central, None, outcome, beside)
    return CentralComparison(label, optimizer, objective, *runs, report, every)


def _lag(rule: Momentum) -> Any:
    """Σ_k (1 - update k over the final one), at a constant gradient (steps)."""
    beta = rule.momentum
    return beta ** (2 if rule.form == "nesterov" else 1) / (1 - beta)


def _require_settings(steps, scheme, every) -> None:
    require_whole("steps (with a central flow)", steps, 3)
    require_instance(
        scheme, CentralEuler, "scheme is one such as CentralEuler(block=8)"
    )
    if every is not None:
        require_whole("every", every, 1, int(steps))


def _flows_side(scheme, flow, y0, steps, block, folder, progress):
    """Central and stable flow (unless block is None); None for what was interrupted."""
    central = None
    try:
        central = iterate(
            scheme,
            flow,
            y0,
            h=1.0,
            steps=steps,
            progress=progress,
            checkpoint=folder,
            throw=False,
        )
        if block is None or central.end.startswith("interrupted"):
            return central, None
        return central, stable_side(flow.stable, y0, steps, block, progress)
    except KeyboardInterrupt:
        return central, None


def is_central(dynamics: Any) -> bool:
    """Whether `dynamics` asks for a central flow."""
    return (
        isinstance(dynamics, CentralFlow)
        or dynamics is CentralFlow
        or (isinstance(dynamics, functools.partial) and dynamics.func is CentralFlow)
    )


def _sides(objective, optimizer, dynamics, dtype):
    """The central flow, the optimiser's step, and its label."""
    given = isinstance(dynamics, CentralFlow)
    if given and dynamics.objective is not objective:
        raise BadInput(
            "dynamics is a central flow of another objective than the one compared."
        )
    if not isinstance(optimizer, Pairing):
        if not isinstance(optimizer, optax.GradientTransformation):
            raise BadInput(
                "the optimiser is a row with hyperparameters, such as "
                f"RMSPROP(learning_rate=1e-3), or an optax optimiser; got "
                f"{optimizer!r:.60}."
            )
        if not given:
            raise BadInput(
                "a bare optax optimiser does not say what it is to a central flow: "
                "pass dynamics=CentralFlow(objective, rule), rule being "
                "flows.central.GradientDescent(0.1), RMSProp(...), ...; or use a row, "
                "such as RMSPROP(learning_rate=1e-3)."
            )
        return dynamics, OptaxStep(Fixed(optimizer), None), "optimiser"
    rule = optimizer.row.rule
    if rule is None:
        raise BadInput(
            f"no central flow of {optimizer.row.name} is known; there is one for SGD, "
            "HEAVY_BALL, NESTEROV, RMSPROP and SCALAR_RMSPROP."
        )
    optimizer = optimizer.in_precision(dtype)
    flow = dynamics
    if not given:
        make = dynamics if is_central(dynamics) else CentralFlow
        flow = make(objective, rule(optimizer.hyper))
    step = OptaxStep(optimizer.row.optimizer, optimizer.hyper)
    return flow, step, repr(optimizer)


def _refuse(label, discrete: Trajectory, flow: CentralFlow, allow: bool) -> None:
    """Refuse an optimiser that is another than the rule's, or that diverged."""
    misfit = np.asarray(discrete.aux.misfit)
    tolerance = 1e3 * float(np.sqrt(np.finfo(discrete.positions.dtype).eps))
    bad = misfit > min(tolerance, 0.1)
    if bad.any():
        k = int(np.argmax(bad))
        raise BadInput(
            f"{flow.rule} does not describe this optimiser: at step {k} its move "
            f"differs from the rule's by {misfit[k]:.2g} of its length. Learning rate, "
            "decay, momentum, eps (optax.rmsprop has it inside the root: eps_root) and "
            "the initial memory are to be the same."
        )
    if discrete.end.startswith("diverged") and not allow:
        step = discrete.times.size
        raise NonFiniteState(
            f"{label} is no longer finite after step {step}. Try a smaller learning "
            "rate; allow_unstable=True returns the finite part.",
            model=label,
            time=float(step),
            step=step,
        )
    if discrete.times.size < 4:
        raise BadInput(f"only {discrete.times.size - 1} steps were done: too few.")


def _outcome(discrete: Trajectory, central: Trajectory | None) -> Outcome:
    if discrete.end.startswith("diverged"):
        return Outcome.DIVERGED
    ends = [discrete.end, "interrupted" if central is None else central.end]
    if any(end.startswith("interrupted") for end in ends):
        return Outcome.INTERRUPTED
    return Outcome.FINISHED


@eqx.filter_jit
def _top(flow, t, y, block):
    p = flow.rule.preconditioner(t, y.memory)
    for _ in range(3):
        block = refresh_block(flow.objective, y.position, p, block)
    return block


def stable_side(
    flow: StableFlow, y0: Any, steps: int, block: Any, progress: bool = False
) -> Trajectory:
    """The stable flow at steps 0, 1, ..., by a stabilised solver, while it is solvable.

    Beyond the edge it is stiff without end (its sharpness goes on rising), so it is
    given up where λ_max(P⁻¹H) passes `STIFFEST`, or where the solver is exhausted;
    `end` says so.

    Args:
        flow: the stable flow.
        y0: its start.
        steps: how far.
        block: leading eigenvectors at the start.
        progress: show a bar.

    Returns:
        The trajectory; `aux` is λ_max(P⁻¹H) at the ends of the stretches that were
        solved in one go, `stats["stretch"]` their length in steps.
    """
    size = -(-steps // _PARTS)
    dtype = y0.position.dtype
    exact = dtype == jnp.float64
    rtol, atol = (1e-7, 1e-10) if exact else (1e-4, 1e-6)
    controller = diffrax.PIDController(rtol=rtol, atol=atol)
    times, rows = [jnp.zeros(1, dtype)], [jax.tree.map(lambda a: a[None], y0)]
    y, done, tops, end = (
        y0,
        0,
        [float(block.values[0])],
        f"solved for all {steps} steps",
    )
    what = "StableFlow"
    with bar(steps, what, "step") if progress else compiling(what) as shown:
        while done < steps:
            stop = min(steps, done + size)
            grid = np.minimum(done + 1.0 + np.arange(size), stop)
            part = solve(
                flow,
                y,
                float(done),
                float(stop),
                solver=ROCK4(),
                stepsize_controller=controller,
                saveat=diffrax.SaveAt(ts=jnp.asarray(grid, dtype)),
                max_steps=20_000,
                throw=False,
            )
            kept = min(stop - done, part.times.size)
            times.append(part.times[:kept])
            rows.append(jax.tree.map(lambda a, n=kept: a[:n], part.states))
            if not part.end.startswith("reached"):
                end = f"stopped at step {done + kept}: {part.end}"
                break
            done = stop
            y = jax.tree.map(lambda a: a[-1], rows[-1])
            block = _top(flow, jnp.asarray(done, dtype), y, block)
            tops.append(float(block.values[0]))
            if progress:
                shown.update(kept)
            if not tops[-1] <= STIFFEST:
                end = (
                    f"stopped at step {done}: its effective sharpness {tops[-1]:.4g} "
                    f"is above {STIFFEST:g}"
                )
                break
    states = jax.tree.map(lambda *a: jnp.concatenate(a), *rows)
    return Trajectory(
        jnp.concatenate(times), states, flow, np.array(tops), end, {"stretch": size}
    )
