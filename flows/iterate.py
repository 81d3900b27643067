"""`iterate`: the one compiled loop over a scheme."""

from __future__ import annotations

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flows.dynamics import Dynamics, State
from flows.errors import BadInput, NonFiniteState
from flows.progress import bar, compiling
from flows.ravel import require_finite
from flows.scheme import Scheme
from flows.trajectory import Trajectory

_CHUNKS = 20


def _step(scheme, dynamics, loop, h, noise, t):
    _, y, carry = loop
    return scheme.step(dynamics, t, y, h, noise, carry)


@eqx.filter_jit
def _constant(scheme, dynamics, loop, t0, h, noise, steps: int, keep: int):
    """`steps` steps of one size, keeping every `keep`-th state (0: the last alone).

    Times are t0 + k h by multiplication: sums of h would drift, and a bias
    correction 1 - β^k would notice.
    """

    def body(loop, xi):
        out = _step(scheme, dynamics, loop, h, xi, t0 + loop[0] * h)
        return (loop[0] + 1, out.y, out.carry), (out.y, out.aux)

    return _thinned(body, loop, noise, steps, keep)


@eqx.filter_jit
def _varying(scheme, dynamics, loop, ts, hs, noise, steps: int, keep: int):
    """As `_constant`, with a step size and a time for each step."""

    def body(loop, inputs):
        t, h, xi = inputs
        out = _step(scheme, dynamics, loop, h, xi, t)
        return (loop[0] + 1, out.y, out.carry), (out.y, out.aux)

    return _thinned(body, loop, (ts, hs, noise), steps, keep)


def _thinned(body, loop, xs, steps, keep):
    if keep == 1:
        return jax.lax.scan(body, loop, xs, length=steps)
    keep = keep or steps
    blocks = jax.tree.map(lambda a: a.reshape(-1, keep, *a.shape[1:]), xs)

    def block(loop, xs):
        def silent(loop, xs):
            loop, out = body(loop, xs)
            return loop, None

        first = jax.tree.map(lambda a: a[:-1], xs)
        last = jax.tree.map(lambda a: a[-1], xs)
        loop, _ = jax.lax.scan(silent, loop, first, length=keep - 1)
        return body(loop, last)

    return jax.lax.scan(block, loop, blocks, length=steps // keep)


@eqx.filter_jit
def _first_bad(scheme, dynamics, y0, carry0, ts, hs, noise):
    """Index of the first step that leaves a non-finite state (run after a failure)."""
    steps = hs.shape[0]

    def finite(y):
        leaves = [a for a in jax.tree.leaves(y) if eqx.is_inexact_array(a)]
        return jnp.all(jnp.stack([jnp.all(jnp.isfinite(a)) for a in leaves]))

    def go_on(loop):
        k, y, _ = loop
        return (k < steps) & finite(y)

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
    t0: float = 0.0,
    noise: Any = None,
    save: Literal["all", "last"] | int = "all",
    progress: bool = False,
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
        save: "all" states, the "last" one, or every `save`-th (must divide `steps`);
            the start always stands first.
        progress: show a bar; an interrupt then keeps the finished part.
        throw: whether a non-finite state raises; otherwise the run is cut before it
            and `end` says so.

    Returns:
        A `Trajectory` at times t0, t0 + h, ...

    Raises:
        BadInput: a step size that is not positive, a non-finite start, missing noise,
            a `save` that does not divide `steps`, a step that changes the state's type.
        NonFiniteState: a state stopped being finite; says the model, step and time.
    """
    hs, steps, traced = _step_sizes(h, steps, save)
    require_finite(y0, "the start")
    carry = scheme.init(dynamics, t0, y0)
    _check_noise(scheme, dynamics, y0, noise, steps)
    y0 = jax.tree.map(jnp.asarray, y0)
    dtype = jax.tree.leaves(eqx.filter(y0, eqx.is_inexact_array))[0].dtype
    hs = jnp.asarray(hs, dtype)
    ts = _times(jnp.asarray(t0, dtype), hs, steps)
    keep = {"all": 1, "last": 0}.get(save, save)  # pyright: ignore
    loop = (jnp.asarray(0, dtype), y0, carry)
    what = f"{type(scheme).__name__} on {type(dynamics).__name__}"

    def run(loop, start, stop):
        xi = jax.tree.map(lambda a: a[start:stop], noise)
        n = stop - start
        if hs.ndim == 0:
            t = jnp.asarray(t0, dtype)
            return _constant(scheme, dynamics, loop, t, hs, xi, n, keep)
        part = slice(start, stop)
        return _varying(scheme, dynamics, loop, ts[part], hs[part], xi, n, keep)

    try:
        if progress:
            (_, y, _), (ys, aux), done = _chunks(run, loop, steps, keep or steps, what)
        else:
            with compiling(what, show=False if traced else None):
                (_, y, _), (ys, aux) = run(loop, 0, steps)
            done = steps
    except (TypeError, ValueError):
        # Diagnosed only now: a check before each run would trace the step twice.
        _check_step(scheme, dynamics, t0, y0, jnp.ravel(hs)[0], noise, carry)
        raise
    stride = keep or steps
    saved = ts[stride : done + 1 : stride]
    states = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), y0, ys)
    times = jnp.concatenate([ts[:1], saved])
    end = f"{done} steps" if done == steps else f"interrupted after {done} steps"
    run_ = Trajectory(times, states, dynamics, aux, end, {"steps": done})
    if traced or _finite(y):
        return run_
    bad = int(_first_bad(scheme, dynamics, y0, carry, ts, _filled(hs, steps), noise))
    return _diverged(run_, bad, float(ts[bad + 1]), throw)


def _diverged(run: Trajectory, bad: int, time: float, throw: bool) -> Trajectory:
    name = type(run.dynamics).__name__
    text = f"{name} is no longer finite after step {bad + 1}, at t = {time:.6g}"
    if throw:
        raise NonFiniteState(
            f"{text}. Try a smaller step; throw=False returns the finite part.",
            model=name,
            time=time,
            step=bad + 1,
        )
    kept = int(np.sum(np.asarray(run.times) < time - 1e-12 * abs(time)))
    cut = jax.tree.map(lambda a: a[:kept], (run.times, run.states))
    aux = jax.tree.map(lambda a: a[: kept - 1], run.aux)
    return Trajectory(*cut, run.dynamics, aux, f"diverged: {text}", {"steps": bad})


def _finite(y) -> bool:
    leaves = jax.tree.leaves(eqx.filter(y, eqx.is_inexact_array))
    return all(bool(jnp.all(jnp.isfinite(a))) for a in leaves)


def _filled(hs, steps):
    return jnp.full((steps,), hs) if hs.ndim == 0 else hs


def _times(t0, hs, steps):
    if hs.ndim == 0:
        return t0 + hs * jnp.arange(steps + 1, dtype=hs.dtype)
    return jnp.concatenate([t0[None], t0 + jnp.cumsum(hs)])


def _step_sizes(h, steps, save) -> tuple[Any, int, bool]:
    traced = any(isinstance(a, jax.core.Tracer) for a in jax.tree.leaves(h))
    shape = jnp.shape(h)
    if len(shape) > 1:
        raise BadInput(f"h is one step size or a vector of them; got shape {shape}.")
    if len(shape) == 1:
        if steps not in (None, shape[0]):
            raise BadInput(f"{shape[0]} step sizes were given for steps={steps}.")
        steps = shape[0]
    if not isinstance(steps, int | np.integer) or steps < 1:
        raise BadInput(f"steps is a positive whole number; got {steps!r}.")
    if not traced and not (np.all(np.isfinite(h)) and np.all(np.asarray(h) > 0)):
        raise BadInput(f"step sizes are positive and finite; got h = {h}.")
    bad = save not in ("all", "last") and not (
        isinstance(save, int | np.integer) and save >= 1 and steps % save == 0
    )
    if bad:
        raise BadInput(
            f'save is "all", "last" or a divisor of steps={steps}; got {save!r}.'
        )
    return h, int(steps), traced


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


def _chunks(run, loop, steps, keep, what):
    """`run` in pieces of whole `keep`-blocks; an interrupt keeps what is finished."""
    blocks = steps // keep
    size = keep * max(1, -(-blocks // _CHUNKS))
    pieces, done = [], 0
    with bar(steps, what, "step") as shown:
        try:
            while done < steps:
                stop = min(steps, done + size)
                loop, out = run(loop, done, stop)
                jax.block_until_ready(loop)
                pieces.append(out)
                shown.update(stop - done)
                done = stop
        except KeyboardInterrupt:
            if not pieces:
                raise
    return loop, jax.tree.map(lambda *a: jnp.concatenate(a), *pieces), done
