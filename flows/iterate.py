"""`iterate`: the one compiled loop over a scheme."""

from __future__ import annotations

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flows.checkpoint import open_pieces
from flows.door import require_instance, require_number, require_state
from flows.dynamics import Dynamics, State
from flows.errors import BadInput, NonFiniteState
from flows.progress import bar, compiling
from flows.ravel import as_array, require_finite
from flows.scheme import Scheme
from flows.trajectory import Trajectory
from flows.types import Scalar, is_traced

_CHUNKS = 20


def _stepper(scheme, dynamics, t0, h):
    """One step as a map of the loop (k, y_k, carry), and the time of step k.

    Where all steps have one size, times are t0 + k h by multiplication: sums of h
    would drift, and a bias correction 1 - β^k would notice.
    """

    def clock(k):
        return t0 + k.astype(t0.dtype) * h

    def one(loop, xs):
        k, y, carry = loop
        t, size, xi = (clock(k), h, xs) if h.ndim == 0 else xs
        out = scheme.step(dynamics, t, y, size, xi, carry)
        return (k + 1, out.y, out.carry), out.aux

    return one, clock


@eqx.filter_jit
def _run(scheme, dynamics, loop, t0, h, steps: int, keep: int, stack: bool, ts, noise):
    """`steps` steps on from `loop` = (k, y_k, carry), keeping every `keep`-th state.

    h and ts have an entry for each step where ts is not None. The kept states are
    written into one array that the loop carries: to put the start in front of what a
    scan stacks would copy it all, which takes longer than many a scan. Reverse mode
    would copy that array every step; `stack` is for it.

    Returns:
        The loop; times and states, the start in front; aux; whether y is finite.
    """
    one, clock = _stepper(scheme, dynamics, t0, h)
    first, y0, _ = loop
    rows = steps // keep + 1

    def block(loop, xs):
        start, last = jax.tree.map(lambda a: a[:-1], xs), jax.tree.map(_last, xs)
        loop, _ = jax.lax.scan(
            lambda loop, xs: (one(loop, xs)[0], None), loop, start, length=keep - 1
        )
        return one(loop, last)

    def save(state, xs):
        loop, kept = state
        loop, aux = one(loop, xs) if keep == 1 else block(loop, xs)
        if stack:
            return (loop, None), (aux, loop[1])
        row = (loop[0] - first) // keep

        def put(rows, a):
            return jax.lax.dynamic_update_index_in_dim(rows, a, row, 0)

        return (loop, jax.tree.map(put, kept, loop[1])), (aux, None)

    xs = noise if ts is None else (ts[:-1], h, noise)
    if keep > 1:
        xs = jax.tree.map(lambda a: a.reshape(-1, keep, *a.shape[1:]), xs)
    kept = jax.tree.map(lambda a: jnp.broadcast_to(a, (rows, *a.shape)), y0)
    state = (loop, None if stack else kept)
    (loop, kept), (aux, ys) = jax.lax.scan(save, state, xs, length=steps // keep)
    if stack:
        kept = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), y0, ys)
    saved = clock(first + keep * jnp.arange(rows)) if ts is None else ts[::keep]
    return loop, (saved, kept), aux, _finite(loop[1])


@eqx.filter_jit
def _run_last(scheme, dynamics, loop, t0, h, steps, ts=None, noise=None):
    """As `_run`, keeping the last state alone; the number of steps is data.

    Not for reverse mode, which needs to know how long the loop is.
    """
    one, clock = _stepper(scheme, dynamics, t0, h)
    xs = noise if ts is None else (ts, h, noise)

    def body(state):
        loop, _ = state
        return one(loop, jax.tree.map(lambda a: a[loop[0]], xs))

    _, aux = jax.eval_shape(body, (loop, None))
    aux = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), aux)
    new, aux = jax.lax.while_loop(lambda s: s[0][0] < steps, body, (loop, aux))
    pair = jax.tree.map(lambda *a: jnp.stack(a), loop[1], new[1])
    ends = jnp.stack([loop[0], new[0]])
    saved = clock(ends) if ts is None else ts[ends]
    return new, (saved, pair), jax.tree.map(lambda a: a[None], aux), _finite(new[1])


def _last(a):
    return a[-1]


def _end(a):
    return a[-1:]


def _finite(y):
    leaves = jax.tree.leaves(eqx.filter(y, eqx.is_inexact_array))
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(a)) for a in leaves]))


@eqx.filter_jit
def _first_bad(scheme, dynamics, y0, carry0, ts, hs, noise):
    """Index of the first step that leaves a non-finite state (run after a failure)."""
    steps = hs.shape[0]

    def go_on(loop):
        k, y, _ = loop
        return (k < steps) & _finite(y)

    def body(loop):
        k, y, carry = loop
        xi = jax.tree.map(lambda a: a[k], noise)
        out = scheme.step(dynamics, ts[k], y, hs[k], xi, carry)
        return k + 1, out.y, out.carry

    return jax.lax.while_loop(go_on, body, (jnp.asarray(0), y0, carry0))[0] - 1


def iterate(
    scheme: Scheme,
    dynamics: Dynamics,
    y0: State,
    *,
    h: Any,
    steps: int | None = None,
    t0: Scalar = 0.0,
    noise: Any = None,
    save: Literal["all", "last"] | int = "all",
    progress: bool = False,
    checkpoint: Any = None,
    throw: bool = True,
) -> Trajectory:
    """Repeat y ← Φ_h(y) in one compiled loop.

    Args:
        scheme: the one-step map.
        dynamics: the model that it steps.
        y0: start; a flat vector or the model's state NamedTuple.
        h: step size (time), or an array of shape [steps], one a step.
        steps: number of steps (taken from `h` where that is an array).
        t0: time of the start.
        noise: what the steps draw, with a leading axis [steps], for schemes that draw
            (`sde.draw_noise` makes it). Passed in, so that it can be seen and shared.
        save: "all" states, the "last" one (the number of steps is then data: a ladder
            of step sizes compiles once), or every `save`-th (must divide `steps`); the
            start always stands first.
        progress: show a bar; an interrupt then keeps the finished part.
        checkpoint: a folder, or `flows.Checkpoint(folder, every=<steps>)`: the run is
            written there piece by piece, and the same call again takes it up where it
            ended, to the same bits. Other arguments than those of the run are refused,
            but for `steps`.
        throw: whether a non-finite state raises; otherwise the run is cut before it
            and `end` says so.

    Returns:
        A `Trajectory` at times t0, t0 + h, ...

    Raises:
        BadInput: a step size that is not positive, a non-finite start, missing noise,
            a `save` that does not divide `steps`, a step that changes the state's type,
            a checkpoint of another run.
        NonFiniteState: a state stopped being finite; says the model, step and time.
    """
    _check_pair(scheme, dynamics)
    require_number("t0", t0)
    steps = _step_sizes(h, steps, save)
    traced = is_traced((h, t0, y0, dynamics, scheme, noise))
    require_finite(y0, "the start")
    require_state(dynamics, y0)
    what = f"{type(scheme).__name__} on {type(dynamics).__name__}"
    with compiling(f"the start of {what}", show=False if traced else None):
        carry = scheme.init(dynamics, t0, y0)
    _check_noise(scheme, dynamics, y0, noise, steps)
    y0 = jax.tree.map(jnp.asarray, y0)
    dtype = jax.tree.leaves(eqx.filter(y0, eqx.is_inexact_array))[0].dtype
    h, t0 = as_array(h, dtype), as_array(t0, dtype)
    ts = None if h.ndim == 0 else _times(t0, h, steps)
    keep = {"all": 1, "last": steps}.get(save, save)  # pyright: ignore
    loop = (np.asarray(0), y0, carry)
    account = (scheme, dynamics, y0, t0, h, noise, save)
    pieces = open_pieces(checkpoint, *account, every=-(-steps // _CHUNKS))

    def run(loop, start, stop):
        if keep == steps and not traced:
            end = np.asarray(stop)
            return _run_last(scheme, dynamics, loop, t0, h, end, ts, noise)
        n, part = stop - start, slice(start, stop)
        xi = noise if n == steps else jax.tree.map(lambda a: a[part], noise)
        hs, grid = (h, None) if ts is None else (h[part], ts[start : stop + 1])
        return _run(scheme, dynamics, loop, t0, hs, n, keep, traced, grid, xi)

    try:
        if pieces is None and (traced or not progress):
            with compiling(what, show=False if traced else None):
                _, (times, states), aux, finite = run(loop, 0, steps)
            done = steps
        else:
            (times, states), aux, finite, done = _chunks(
                run, loop, steps, keep, what, save == "last", progress, pieces
            )
    except (TypeError, ValueError):
        # Diagnosed only now: a check before each run would trace the step twice.
        _check_step(scheme, dynamics, t0, y0, jnp.ravel(h)[0], noise, carry)
        raise
    end = f"{done} steps" if done == steps else f"interrupted after {done} steps"
    run_ = Trajectory(times, states, dynamics, aux, end, {"steps": done})
    if is_traced(finite) or finite:
        return run_
    return _diverged(run_, scheme, y0, carry, t0, h, steps, noise, throw)


def _diverged(run: Trajectory, scheme, y0, carry, t0, h, steps, noise, throw):
    """The run cut before it stopped being finite, or the error that says where."""
    ts, hs = _times(t0, h, steps), jnp.broadcast_to(h, (steps,))
    bad = int(_first_bad(scheme, run.dynamics, y0, carry, ts, hs, noise))
    time, name = float(ts[bad + 1]), type(run.dynamics).__name__
    text = f"{name} is no longer finite after step {bad + 1}, at t = {time:.6g}"
    if throw:
        raise NonFiniteState(
            f"{text}. Try a smaller step; throw=False returns the finite part.",
            model=name,
            time=time,
            step=bad + 1,
        )
    kept = int(np.sum(np.asarray(run.times) < time - 1e-12 * abs(time)))
    times, states = jax.tree.map(lambda a: a[:kept], (run.times, run.states))
    aux = jax.tree.map(lambda a: a[: kept - 1], run.aux)
    end = f"diverged: {text}"
    return Trajectory(times, states, run.dynamics, aux, end, {"steps": bad})


def _times(t0, hs, steps):
    if hs.ndim == 0:
        return t0 + hs * jnp.arange(steps + 1, dtype=hs.dtype)
    return jnp.concatenate([t0[None], t0 + jnp.cumsum(hs)])


def _check_pair(scheme, dynamics) -> None:
    require_instance(scheme, Scheme, "a scheme is one such as discretize.Euler()")
    model = "dynamics is a model, such as GradientFlow(objective)"
    require_instance(dynamics, Dynamics, model)


def _step_sizes(h, steps, save) -> int:
    traced = is_traced(h)
    if not traced:
        try:
            sizes = np.asarray(h, float)
        except (TypeError, ValueError):
            raise BadInput(f"h is a step size or a vector; got {h!r:.60}.") from None
        wrong = None if h is None else _first_wrong(sizes)
        if wrong or h is None:
            raise BadInput(f"step sizes are positive and finite; got {wrong or h}.")
    shape = np.shape(h)
    if len(shape) > 1:
        raise BadInput(f"h is one step size or a vector of them; got shape {shape}.")
    if len(shape) == 1:
        if steps not in (None, shape[0]):
            raise BadInput(f"{shape[0]} step sizes were given for steps={steps}.")
        steps = shape[0]
    if not isinstance(steps, int | np.integer) or steps < 1:
        raise BadInput(f"steps is a positive whole number; got {steps!r}.")
    bad = save not in ("all", "last") and not (
        isinstance(save, int | np.integer) and save >= 1 and steps % save == 0
    )
    if bad:
        raise BadInput(
            f'save is "all", "last" or a divisor of steps={steps}; got {save!r}.'
        )
    return int(steps)


def _first_wrong(sizes: np.ndarray) -> str:
    good = np.isfinite(sizes) & (sizes > 0)
    if np.all(good):
        return ""
    if sizes.ndim == 0:
        return f"h = {sizes:g}"
    k = int(np.argmin(good.ravel()))
    return f"{sizes.ravel()[k]:g} at step {k} (of {sizes.size} step sizes)"


def _check_noise(scheme, dynamics, y0, noise, steps) -> None:
    wanted = scheme.noise_like(dynamics, y0)
    if wanted is None:
        if noise is not None:
            raise BadInput(f"{type(scheme).__name__} draws no noise here; pass none.")
        return
    if noise is None:
        raise BadInput(
            f"{type(scheme).__name__} on {type(dynamics).__name__} draws {wanted} each "
            "step: pass noise=sde.draw_noise(scheme, dynamics, y0, key, steps)."
        )
    for draw, leaf in zip(jax.tree.leaves(wanted), jax.tree.leaves(noise), strict=True):
        if tuple(leaf.shape) != (steps, *draw.shape):
            raise BadInput(
                f"noise of shape {leaf.shape}; expected {(steps, *draw.shape)}."
            )


def _check_step(scheme, dynamics, t0, y0, h, noise, carry) -> None:
    xi = jax.tree.map(lambda a: a[0], noise)

    def one(dynamics, y, h, xi, carry):
        t = jnp.asarray(t0, h.dtype)
        return scheme.step(dynamics, t, y, h, xi, carry).y

    out = eqx.filter_eval_shape(one, dynamics, y0, h, xi, carry)
    same = jax.tree.structure(out) == jax.tree.structure(y0) and all(
        a.shape == b.shape and a.dtype == b.dtype
        for a, b in zip(jax.tree.leaves(out), jax.tree.leaves(y0), strict=True)
    )
    if not same:
        raise BadInput(f"the step maps a state like {y0} to one like {out}.")


def _chunks(run, loop, steps, keep, what, last, progress, pieces):
    """`run` in pieces of whole `keep`-blocks; an interrupt keeps what is finished.

    Where the `last` state alone is kept, pieces may end anywhere.
    """
    block = 1 if last else keep
    every = -(-steps // _CHUNKS) if pieces is None else pieces.every
    size = block * max(1, -(-every // block))
    kept, shown_by, done, finite = [], [], 0, True
    if pieces is not None:

        def like():
            return jax.eval_shape(lambda loop: run(loop, 0, block)[1:3], loop)

        for piece in pieces.read(loop, like, steps, block):
            done, loop = piece.stop, piece.loop
            kept.append(piece.rows)
            shown_by.append(piece.aux)
    meter = bar(steps, what, "step") if progress else compiling(what)
    with meter as shown:
        if progress and done:
            shown.update(done)
        try:
            while done < steps and finite:
                stop = min(steps, done + size)
                loop, rows, aux, finite = run(loop, done, stop)
                jax.block_until_ready(loop)
                if pieces is not None and finite:
                    pieces.write(done, stop, loop, rows, aux)
                kept.append(rows)
                shown_by.append(aux)
                if progress:
                    shown.update(stop - done)
                done = stop
        except KeyboardInterrupt:
            if not kept:
                raise
    # A piece starts where the one before it ended.
    kept = [jax.tree.map(lambda a: a[1:], r) if i else r for i, r in enumerate(kept)]
    rows, aux = (
        jax.tree.map(lambda *a: jnp.concatenate(a), *p) for p in (kept, shown_by)
    )
    if last:
        ends = np.array([0, -1])
        rows, aux = jax.tree.map(lambda a: a[ends], rows), jax.tree.map(_end, aux)
    return rows, aux, finite, done
