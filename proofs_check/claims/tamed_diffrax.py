"""Taming inside diffrax: adapter, scheme and plain loop are one and the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from discretize import (
    Milstein,
    NormTaming,
    TamedEuler,
    diffrax_terms,
    tamed_solver,
)
from flows import Scheme, iterate
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence, Exact
from proofs_check.papers import tamed_euler, tamed_milstein
from sde import ItoDiffusion

STEPS = 64
H = 1 / STEPS
START = np.array([2.0, -1.0])
MOVED = 1e-6


def _drift(t, y, args=None):
    """Minus the gradient of |y|⁴/4 - |y|²/2 + y₁y₂/4: coordinates are coupled."""
    return y - y * jnp.sum(y**2) - y[::-1] / 4


def _constant(t, y):
    return jnp.full_like(y, 0.7)


def _linear(t, y):
    return 0.5 * y


class _Path:
    """One VirtualBrownianTree in two dimensions, and its increments over the grid."""

    def __init__(self, key: Any) -> None:
        self.tree = diffrax.VirtualBrownianTree(
            0.0, 1.0, tol=H / 4, shape=(2,), key=key
        )
        self.times = jnp.arange(STEPS + 1) * H
        evaluate = jax.vmap(self.tree.evaluate)
        self.increments = np.asarray(evaluate(self.times[:-1], self.times[1:]))

    def solve(self, solver, terms, starts):
        """Diffrax's end states from several starts, shape [starts, 2]."""

        @jax.jit
        @jax.vmap
        def end(y0):
            found = diffrax.diffeqsolve(
                terms,
                solver,
                0.0,
                1.0,
                None,
                y0,
                stepsize_controller=diffrax.StepTo(self.times),
                max_steps=STEPS,
                throw=False,
            )
            return found.ys[-1]

        return np.asarray(end(jnp.asarray(starts)))

    def scheme(self, scheme: Scheme, process) -> np.ndarray:
        """Our scheme on the same increments."""
        noise = jnp.asarray(self.increments / np.sqrt(H))
        run = iterate(
            scheme, process, jnp.asarray(START), h=H, steps=STEPS, noise=noise
        )
        return np.asarray(run.states[-1])

    def loop(self, exponent: float, correction: Callable, sigma: Callable):
        """The formula in numpy, one line a step."""
        y = START.copy()
        for dw in self.increments:
            b = np.asarray(y - y * (y @ y) - y[::-1] / 4)
            y = (
                y
                + H * b / (1 + H**exponent * np.sqrt(b @ b))
                + sigma(y) * dw
                + correction(y, dw)
            )
        return y


def _ulp_starts() -> np.ndarray:
    """The start, and it moved by one unit in the last place in eight directions."""
    signs = [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1)]
    signs.sort(key=lambda s: s != (0, 0))
    return START + np.array(signs) * np.spacing(np.abs(START))


def _agreement(path, solver, process, terms, scheme, loop) -> Evidence:
    """The scheme and the loop against diffrax with the user's own terms."""
    starts = np.concatenate([_ulp_starts(), START[None] * (1 + MOVED)])
    ends = path.solve(solver, terms, starts)
    ours = path.solve(solver, diffrax_terms(process, path.tree), START[None])
    scale = np.max(np.abs(ends[0]))
    others = np.stack([ours[0], path.scheme(scheme, process), loop])
    rounding = decide.rounding_allowance(np.abs(ends[1:9] - ends[0]).max() / scale)
    return decide.exact(
        np.abs(others - ends[0]).max(axis=1) / scale,
        rounding=rounding,
        moved=float(np.abs(ends[9] - ends[0]).max() / scale),
        delta=MOVED,
        unit="largest coordinate",
    )


@claim(
    "langevin.tamed-diffrax-euler",
    title="diffrax's Euler with a tamed drift is our tamed Euler, path by path",
    source=tamed_euler("the scheme; the agreement is of implementations"),
    statement=r"y \leftarrow y + \frac{h\,b}{1 + h|b|} + \sigma\,\Delta B",
    hypotheses=(r"the same VirtualBrownianTree", r"one-stage Ito solver"),
    grade="measured",
    delta=MOVED,
    unit="largest coordinate",
)
def diffrax_euler(ctx: Context) -> Iterator[Evidence]:
    """Diffrax on the user's terms, on ours, `iterate`, and a loop in numpy."""
    yield _euler(ctx, 1.0)


def _euler(ctx: Context, exponent: float) -> Evidence:
    path = ctx.compiled("path", lambda: _Path(ctx.key("path")))
    process = ItoDiffusion(_drift, _constant)
    noise = diffrax.ControlTerm(lambda t, y, args: 0.7 * jnp.eye(2), path.tree)
    terms = diffrax.MultiTerm(diffrax.ODETerm(_drift), noise)
    loop = path.loop(exponent, lambda y, dw: 0.0, lambda y: 0.7)
    return _agreement(path, tamed_solver(), process, terms, TamedEuler(), loop)


@diffrax_euler.control("a loop that tames with √h")
def _(ctx: Context) -> Iterator[Evidence]:
    yield _euler(ctx, 0.5)


@diffrax_euler.control("untamed, from (30, 30)", expected="diverged")
def _(ctx: Context) -> Iterator[Evidence]:
    """Plain Euler overflows; the tamed solver ends near the wells on the same path."""
    path = ctx.compiled("path", lambda: _Path(ctx.key("path")))
    terms = diffrax_terms(ItoDiffusion(_drift, _constant), path.tree)
    far = np.full((1, 2), 30.0)
    tamed = path.solve(tamed_solver(), terms, far)
    plain = path.solve(diffrax.Euler(), terms, far)
    if np.all(np.abs(tamed) < 30) and not np.any(np.isfinite(plain)):
        yield ctx.diverged(Exact())
    else:
        gap = np.abs(np.nan_to_num(plain - tamed)).max()
        yield decide.exact(gap, rounding=1.0, moved=1e3, delta=MOVED)


@claim(
    "langevin.tamed-diffrax-milstein",
    title="diffrax's ItoMilstein with a tamed drift is tamed Milstein, path by path",
    source=tamed_milstein("the scheme; the agreement is of implementations"),
    statement=r"y \leftarrow y + \frac{h\,b}{1 + h|b|} + \sigma\,\Delta B"
    r" + \tfrac12\sigma\sigma'(\Delta B^2 - h)",
    hypotheses=(r"diagonal noise", r"the same VirtualBrownianTree"),
    grade="measured",
    delta=MOVED,
    unit="largest coordinate",
)
def diffrax_milstein(ctx: Context) -> Iterator[Evidence]:
    """Noise y/2 dB in each coordinate: σσ' = y/4."""
    yield _milstein(ctx, 1.0)


def _milstein(ctx: Context, part: float) -> Evidence:
    path = ctx.compiled("path", lambda: _Path(ctx.key("path")))
    process = ItoDiffusion(_drift, _linear)
    noise = diffrax.ControlTerm(lambda t, y, args: jnp.diag(0.5 * y), path.tree)
    terms = diffrax.MultiTerm(diffrax.ODETerm(_drift), noise)
    loop = path.loop(
        1.0, lambda y, dw: 0.125 * y * (dw**2 - part * H), lambda y: 0.5 * y
    )
    solver = tamed_solver(diffrax.ItoMilstein())
    return _agreement(path, solver, process, terms, Milstein(NormTaming()), loop)


@diffrax_milstein.control("the correction without -h, Stratonovich's")
def _(ctx: Context) -> Iterator[Evidence]:
    yield _milstein(ctx, 0.0)
