"""`compare`: a discrete optimiser on the user's pytree, its dynamics beside it."""

from __future__ import annotations

import warnings
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from discretize.central_run import compare_central, is_central
from discretize.comparison import Comparison, Outcome
from discretize.correspondence import Pairing
from discretize.optimiser import Fixed, OptaxStep, Training
from discretize.schemes import CentralEuler
from flows import (
    BadInput,
    Dynamics,
    Flow,
    NonFiniteState,
    Objective,
    SolveFailed,
    Trajectory,
    UnstableStep,
    iterate,
    solve,
)
from flows.door import require_number
from flows.types import Scalar
from sde import draw_noise


class UnstableStepWarning(UserWarning):
    """The step stands beyond the stability limit at the measured sharpness."""


def compare(
    objective: Objective,
    optimizer: Pairing | optax.GradientTransformation,
    params: Any,
    *,
    steps: int | None = None,
    t1: Scalar | None = None,
    dynamics: Any = None,
    clock: Scalar | None = None,
    start: Any = None,
    flow: bool = True,
    rtol: float | None = None,
    check_sharpness: bool = True,
    allow_unstable: bool = False,
    scheme: CentralEuler | None = None,
    key: Any = None,
    checkpoint: Any = None,
    progress: bool = False,
) -> Comparison:
    """Step an optimiser and integrate a flow, from one start, on one clock.

    Args:
        objective: f; the optimiser sees its full-batch gradient.
        optimizer: a row of the table with hyperparameters, `SGD(learning_rate=0.1)`,
            which knows its dynamics, clock and scheme; or any optax optimiser, with
            `dynamics` and `clock`.
        params: the start, in the user's own pytree. The optimiser steps on it; the flow
            starts from its flat vector.
        steps: number of optimiser steps, or
        t1: the time to reach, in the flow's unit (rounded to whole steps).
        dynamics: a flow (for a bare optax optimiser). `CentralFlow`, or one of its
            instances, asks for a comparison at the edge of stability, on the clock of
            steps: see `compare_central`.
        clock: time of one step (for a bare optax optimiser): for `optax.sgd(0.1)` 0.1.
        start: state in which that flow starts (default: the flat vector of `params`).
        flow: False leaves the flow out and runs the optimiser (and its scheme) alone.
        rtol: relative tolerance of the flow's solve; the absolute one is rtol/100.
            Default 1e-9 in float64, 1e-4 in float32.
        check_sharpness: where the smoothness of f is not known, measure the sharpness
            at the start and warn if the step is beyond the limit there.
        allow_unstable: go on beyond a known stability limit; the result then says
            `outcome = Outcome.DIVERGED` where it diverged.
        scheme: how a central flow is stepped: `CentralEuler(block=8)`.
        key: of the noise, a whole number or a jax key, for a row whose scheme draws
            (`THEOPOULA`): optimiser and scheme see the same normals, those of
            `sde.draw_noise` (held in memory: steps × parameters).
        checkpoint: a folder to which the optimiser's run is written (with a central
            flow: both), to be taken up by the same call; see `flows.Checkpoint`.
        progress: show a bar; an interrupt keeps what is done.

    Returns:
        A `Comparison`: paths, losses, distance, the exact gap where the row has a
        scheme (on the same noise, where it draws; the flow is then the drift alone, so
        that the distance is what noise and step do); with a central flow a
        `CentralComparison`. Its `outcome` is DIVERGED
        where the optimiser left the finite numbers, or its loss grew in all with a
        step beyond the limit (known, or measured at the start).

    Raises:
        BadInput: see the arguments.
        UnstableStep: learning rate × known smoothness is at or beyond the row's limit.
        NonFiniteState: the optimiser or the flow left the finite numbers, the step
            being within every known limit.
    """
    _require_arguments(objective, params, rtol)
    running: dict[str, Any] = {"checkpoint": checkpoint, "progress": progress}
    if is_central(dynamics):
        _refuse_clock(t1=t1, clock=clock, start=start, key=key, flow=not flow or None)
        running |= {"scheme": scheme, "allow_unstable": allow_unstable}
        sides = (objective, optimizer, params)
        return compare_central(*sides, steps=steps, dynamics=dynamics, **running)
    _refuse_scheme(scheme)
    x = objective.ravel(params)
    # optax steps on arrays; an equinox module's functions stay with the objective.
    params = eqx.filter(objective.params(x), eqx.is_array)
    own, unstable = None, ""
    if isinstance(optimizer, Pairing):
        _refuse_own(dynamics, clock, start)
        optimizer = optimizer.in_precision(x.dtype)
        _check_memory(optimizer, flow)
        told = (allow_unstable, check_sharpness)
        unstable = _check_limit(objective, optimizer, x, *told)
        model = optimizer.dynamics(objective)
        own = optimizer.own_scheme(model, x)
        step = OptaxStep(optimizer.row.optimizer, optimizer.hyper, own.noisy)
        t0, y0 = optimizer.row.start(model, optimizer.hyper, x)
        label = repr(optimizer)
        one = optimizer.step_sizes(1)
    else:
        model, one = _bare(optimizer, dynamics, clock)
        step, label = OptaxStep(Fixed(optimizer), None), "optimiser"
        t0, y0 = 0.0, x if start is None else start
    steps = _steps(steps, t1, optimizer, one)
    hs = optimizer.step_sizes(steps) if isinstance(optimizer, Pairing) else one
    noise = _noise(own, key, steps)
    running |= {"h": hs, "steps": steps, "throw": False, "noise": noise}
    discrete = iterate(step, Training(objective), params, **running)
    _refuse_divergence(label, discrete, hs, unstable == "known" or allow_unstable)
    outcome = _outcome(discrete, objective, unstable)
    beside = None
    if flow and discrete.times.size > 1:
        field = optimizer.solved(model) if isinstance(optimizer, Pairing) else model
        beside = _flow_side(field, y0, t0, discrete.times, rtol, progress, outcome)
    run = _scheme_side(own, hs, discrete.times.size - 1, noise)
    return Comparison(label, optimizer, objective, discrete, beside, run, outcome)


def _refuse_scheme(scheme) -> None:
    if scheme is not None:
        raise BadInput("scheme= is for dynamics=CentralFlow; a row brings its own.")


def _refuse_own(*given) -> None:
    if any(value is not None for value in given):
        raise BadInput("a row of the table brings its dynamics, clock and start.")


def _refuse_clock(**given) -> None:
    """A central flow's clock is the optimiser's step, and it starts with it."""
    names = [name for name, value in given.items() if value is not None]
    if names:
        raise BadInput(
            f"with a central flow say steps=<number>; {', '.join(names)} is not for it."
        )


def _require_arguments(objective, params, rtol) -> None:
    if not isinstance(objective, Objective):
        raise BadInput(
            "compare takes an objective first: flows.from_loss(loss, params, data) or "
            f"flows.from_sympy(f, symbols); got {objective!r:.60}."
        )
    if isinstance(params, Dynamics | Objective):
        raise BadInput(
            f"the third argument is the start, in your own pytree; got a "
            f"{type(params).__name__}. A flow of your own goes in as dynamics=."
        )
    if rtol is not None:
        require_number("rtol", rtol, positive=True)


def _bare(optimizer, dynamics, clock):
    if not isinstance(optimizer, optax.GradientTransformation):
        raise BadInput(
            "the optimiser is a row with hyperparameters, such as "
            f"SGD(learning_rate=0.1), or an optax optimiser; got {optimizer!r}."
        )
    if not isinstance(dynamics, Flow) or clock is None:
        raise BadInput(
            "a bare optax optimiser does not say what it discretises: pass "
            "dynamics=GradientFlow(objective) and clock=<time of one step>, or use a "
            "row of the table, such as SGD(learning_rate=0.1)."
        )
    if not 0 < _number(clock) < np.inf:
        raise BadInput(f"clock is the time of one step, > 0; got {clock}.")
    return dynamics, clock


def _number(value) -> float:
    """The value as a float; NaN where it is none."""
    try:
        return np.nan if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        return np.nan


def _steps(steps, t1, optimizer, one) -> int:
    if (steps is None) == (t1 is None):
        raise BadInput("say how long: either steps=<number> or t1=<time>.")
    if steps is not None:
        whole = isinstance(steps, int | np.integer) and not isinstance(steps, bool)
        if not whole or steps < 1:
            raise BadInput(f"steps is a positive whole number; got {steps!r}.")
        return int(steps)
    if isinstance(optimizer, Pairing) and optimizer.schedule is not None:
        raise BadInput("under a schedule say steps=, not t1=.")
    ratio = _number(t1) / float(one)
    if not (np.isfinite(ratio) and round(ratio) >= 1):
        raise BadInput(f"t1 = {t1} is not one step of {float(one):g} away.")
    return round(ratio)


def _check_limit(objective, pairing, x, allow, measure) -> str:
    """Whether the step is beyond a limit: "known", "measured" (at the start) or ""."""
    if pairing.row.limit is None or pairing.schedule is not None:
        return ""
    limit = float(pairing.row.limit(pairing.hyper))
    eta = float(pairing.hyper[pairing.row.rate_name])
    known = objective.facts.smoothness
    if known is not None:
        largest = limit / float(known.value)
        if eta < largest:
            return ""
        if not allow:
            raise UnstableStep(
                f"{pairing} has no flow to stand beside: the learning rate {eta:g} is "
                f"not below {limit:g} / L = {largest:g} (L = {float(known.value):g}, "
                f"{known.provenance}). allow_unstable=True runs it all the same.",
                step=eta,
                limit=largest,
            )
        return "known"
    if measure:
        found = objective.sharpness(objective.params(x), tolerance=1e-3)
        if eta * found.value >= limit:
            warnings.warn(
                f"{pairing}: the learning rate {eta:g} is not below "
                f"{limit:g} / sharpness = {limit / found.value:g} at the start "
                f"(sharpness {found.value:.4g}, residual {found.residual:.1e}).",
                UnstableStepWarning,
                stacklevel=3,
            )
            return "measured"
    return ""


def _check_memory(pairing: Pairing, flow: bool) -> None:
    """Refuse a flow whose memory is 0, which a retention factor 0 means."""
    if not flow:
        return
    none = [k for k in ("b1", "b2", "decay") if pairing.hyper.get(k, 1) == 0]
    if none:
        raise BadInput(
            f"{pairing}: {', '.join(none)} = 0 is a memory of time 0, and the flow "
            "divides by it. flow=False compares with the scheme alone."
        )


def _refuse_divergence(label: str, discrete: Trajectory, hs: Any, allow: bool) -> None:
    if allow or not discrete.end.startswith("diverged"):
        return
    step = discrete.times.size
    last = hs if np.ndim(hs) == 0 else hs[step - 1]
    time = float(discrete.times[-1]) + float(last)
    raise NonFiniteState(
        f"{label} is no longer finite after step {step}. Try a smaller learning rate; "
        "allow_unstable=True returns the finite part.",
        model=label,
        time=time,
        step=step,
    )


def _outcome(discrete: Trajectory, objective, unstable: str) -> Outcome:
    if discrete.end.startswith("diverged"):
        return Outcome.DIVERGED
    if discrete.end.startswith("interrupted"):
        return Outcome.INTERRUPTED
    if unstable:
        first, last = (
            objective.value(discrete.positions[k]) for k in (0, discrete.times.size - 1)
        )
        if not last <= first:
            return Outcome.DIVERGED
    return Outcome.FINISHED


def _scheme_side(own, hs: Any, steps: int, noise) -> Trajectory | None:
    """The row's scheme over the steps that the optimiser took."""
    if own is None or own.scheme is None or steps == 0:
        return None
    part = hs if jnp.ndim(hs) == 0 else hs[:steps]
    xi = None if noise is None else noise[:steps]
    y0, options = own.start, {"h": part, "steps": steps, "noise": xi, "throw": False}
    return iterate(own.scheme, own.dynamics, y0, **options)


def _noise(own, key, steps: int) -> Any:
    """The normals of all steps, where the row's scheme draws; else None."""
    if own is None or not own.noisy:
        _refuse_key(key)
        return None
    noise = draw_noise(own.scheme, own.dynamics, own.start, key, steps)
    return noise.astype(own.start.dtype)


def _refuse_key(key) -> None:
    if key is not None:
        raise BadInput("key= is for a row whose scheme draws noise, such as THEOPOULA.")


def _flow_side(model, y0, t0, times, rtol, progress, outcome) -> Trajectory | None:
    """The flow at the optimiser's times; the first entry is its start."""
    dtype = jax.tree.leaves(y0)[0].dtype
    if rtol is None:
        rtol = 1e-9 if dtype == jnp.float64 else 1e-4
    t0 = jnp.asarray(t0, dtype)
    ts = jnp.concatenate([t0[None], jnp.asarray(times[1:], dtype)])
    controller = diffrax.PIDController(rtol=rtol, atol=rtol / 100)
    try:
        return solve(
            model,
            y0,
            t0,
            ts[-1],
            stepsize_controller=controller,
            saveat=diffrax.SaveAt(ts=ts),
            progress=progress,
        )
    except SolveFailed as error:
        if outcome is Outcome.FINISHED:
            raise
        warnings.warn(f"no flow beside a run that {outcome}: {error}", stacklevel=3)
        return None
