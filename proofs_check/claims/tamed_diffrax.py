"""Taming inside diffrax: adapter, scheme and plain loop are one and the same."""

from __future__ import annotations

from collections.abc import Callable
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
    """One VirtualBrownianTree in two dimensions, and its increments over the grid.

    `solve` is diffrax's end state as a function of (α, start), vmapped over both and
    compiled once; α = inf is no taming, since h^inf = 0.
    """

    def __init__(self, key: Any, solver, matrix: Callable) -> None:
        self.tree = diffrax.VirtualBrownianTree(
            0.0, 1.0, tol=H / 4, shape=(2,), key=key
        )
        self.times = jnp.arange(STEPS + 1) * H
        evaluate = jax.jit(jax.vmap(self.tree.evaluate))
        self.increments = np.asarray(evaluate(self.times[:-1], self.times[1:]))
        noise = diffrax.ControlTerm(lambda t, y, args: matrix(y), self.tree)
        terms = diffrax.MultiTerm(diffrax.ODETerm(_drift), noise)
        self.solver = solver
        self.solve = jax.jit(jax.vmap(lambda a, y0: self.end(terms, a, y0)))

    def end(self, terms, exponent, y0):
        """The end state of `diffeqsolve`."""
        found: Any = diffrax.diffeqsolve(
            terms,
            tamed_solver(self.solver, NormTaming(exponent)),
            0.0,
            1.0,
            None,
            y0,
            stepsize_controller=diffrax.StepTo(self.times),
            max_steps=STEPS,
            throw=False,
        )
        return found.ys[-1]

    def ends(self, ctx: Context) -> np.ndarray:
        """From the start, eight neighbours, a moved start; from afar, tamed or not."""
        far = np.full((2, 2), 30.0)
        starts = np.concatenate([_ulp_starts(), START[None] * (1 + MOVED), far])
        exponents = np.array([1.0] * 11 + [np.inf])
        return ctx.compiled(
            ("ends", ctx.seed), lambda: np.asarray(self.solve(exponents, starts))
        )

    def scheme(self, scheme: Scheme, process) -> np.ndarray:
        """Our scheme on the same increments."""
        noise = jnp.asarray(self.increments / np.sqrt(H))
        run = iterate(
            scheme, process, jnp.asarray(START), h=H, steps=STEPS, noise=noise
        )
        return np.asarray(run.states[-1])

    def loop(self, exponent: float, sigma: Callable, correction: Callable):
        """The formula in numpy."""
        y = START.copy()
        for dw in self.increments:
            b = y - y * (y @ y) - y[::-1] / 4
            drift = b / (1 + H**exponent * np.sqrt(b @ b))
            y = y + H * drift + sigma(y) * dw + correction(y, dw)
        return y


def _ulp_starts() -> np.ndarray:
    """The start, and it moved by one unit in the last place in eight directions."""
    signs = [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1)]
    signs.sort(key=lambda s: s != (0, 0))
    return START + np.array(signs) * np.spacing(np.abs(START))


def _agreement(ctx: Context, path: _Path, *others: np.ndarray) -> Evidence:
    """End states of other implementations against diffrax on the user's own terms."""
    ends = path.ends(ctx)
    scale = np.max(np.abs(ends[0]))
    rounding = decide.rounding_allowance(np.abs(ends[1:9] - ends[0]).max() / scale)
    return decide.exact(
        np.abs(np.stack(others) - ends[0]).max(axis=1) / scale,
        rounding=rounding,
        moved=float(np.abs(ends[9] - ends[0]).max() / scale),
        delta=MOVED,
        unit="largest coordinate",
    )


def _zero(y, dw):
    return 0.0


def _euler_path(ctx: Context) -> _Path:
    def build():
        return _Path(ctx.key("path"), diffrax.Euler(), lambda y: 0.7 * jnp.eye(2))

    return ctx.compiled(("path", ctx.seed), build)


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
def diffrax_euler(ctx: Context) -> Evidence:
    """Diffrax on the user's terms, `iterate` on ours, and a loop in numpy."""
    path = _euler_path(ctx)
    ours = path.scheme(TamedEuler(), ItoDiffusion(_drift, _constant))
    return _agreement(ctx, path, ours, path.loop(1.0, lambda y: 0.7, _zero))


@diffrax_euler.route("terms of a diffusion", grade="measured")
def _(ctx: Context) -> Evidence:
    """Diffrax on `diffrax_terms`, whose drift comes in parts."""
    path = _euler_path(ctx)
    terms = diffrax_terms(ItoDiffusion(_drift, _constant), path.tree)
    end = jax.jit(lambda y0: path.end(terms, 1.0, y0))(jnp.asarray(START))
    return _agreement(ctx, path, np.asarray(end))


@diffrax_euler.control("a loop that tames with √h")
def _(ctx: Context) -> Evidence:
    path = _euler_path(ctx)
    return _agreement(ctx, path, path.loop(0.5, lambda y: 0.7, _zero))


@diffrax_euler.control("untamed, from (30, 30)", expected="diverged")
def _(ctx: Context) -> Evidence:
    """Plain Euler overflows; the tamed solver ends near the wells on the same path."""
    tamed, plain = _euler_path(ctx).ends(ctx)[10:]
    if np.all(np.abs(tamed) < 10) and not np.any(np.isfinite(plain)):
        return ctx.diverged(Exact())
    gap = np.abs(np.nan_to_num(plain - tamed)).max()
    return decide.exact(gap, rounding=1.0, moved=1e3, delta=MOVED)


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
def diffrax_milstein(ctx: Context) -> Evidence:
    """Noise y/2 dB in each coordinate: σσ' = y/4."""
    return _milstein(ctx, 1.0)


def _milstein(ctx: Context, part: float) -> Evidence:
    def build():
        solver = diffrax.ItoMilstein()
        return _Path(ctx.key("path"), solver, lambda y: jnp.diag(0.5 * y))

    def correction(y, dw):
        return 0.125 * y * (dw**2 - part * H)

    path = ctx.compiled(("path", ctx.seed), build)
    loop = path.loop(1.0, lambda y: 0.5 * y, correction)
    ours = path.scheme(Milstein(NormTaming()), ItoDiffusion(_drift, _linear))
    return _agreement(ctx, path, ours, loop)


@diffrax_milstein.control("the correction without -h, Stratonovich's")
def _(ctx: Context) -> Evidence:
    return _milstein(ctx, 0.0)
