r"""Splittings of the Zig-Zag process in one dimension: their laws on a lattice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from discretize import DBD, Splitting
from flows import from_sympy
from flows.problems import quadratic
from flows.symbolic import exactly
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.claims.pdmp_samplers import off_zero
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from sde import LangevinState, ZigZag

SPLITTING = Source(
    title="Piecewise deterministic sampling with splitting schemes",
    authors="Andrea Bertazzi, Paul Dobson and Pierre Monmarché",
    year=2025,
    arxiv="2301.02537",
    location="the schemes and their second order; the constant derived here",
)
DB = Splitting("D, B")
REACH = 6.0
"""The lattice ends where e^{-U} is below e^{-300}."""
ROOM = 4096
"""Points for which a step is compiled, both velocities counted."""


def anharmonic() -> Any:
    """U = x²/2 + x⁴/4."""
    import sympy

    x = sympy.Symbol("x")
    return from_sympy(x**2 / 2 + x**4 / 4, [x])


# The law of the chain.


def branches(scheme: Splitting, process: ZigZag, x: Any, v: Any, h: Any) -> Any:
    """One step from (x, v) with its one letter B resolved: (P(turn), stayed, turned).

    Letters in order, by the exact maps of the parts; of the two outcomes of the turn
    each goes on by itself.
    """
    parts = scheme.parts_of(process)
    outcomes, probability = [LangevinState(x, v)], None
    for name, weight in scheme.word:
        part: Any = parts[name]
        span = h * weight.numerator / weight.denominator
        if name == "B":
            (y,) = outcomes
            probability = part.turn_probability(y, span)[0]
            # u = 1 never turns; u = -1 always does
            outcomes = [part.exact(0.0, y, span, jnp.full(1, u)) for u in (1.0, -1.0)]
        else:
            outcomes = [part.exact(0.0, y, span) for y in outcomes]
    return probability, *outcomes


@eqx.filter_jit
def _branches(scheme, process, xs, vs, h):
    def one(x, v):
        return branches(scheme, process, x[None], v[None], h)

    return jax.vmap(one)(xs, vs)


def lattice_law(scheme: Splitting, process: ZigZag, h: float) -> Any:
    """Points x ∈ hℤ, velocities and stationary weights of the chain, shape [2, m] each.

    The chain stays on the lattice; its matrix is sparse and its stationary law a linear
    system. Sums over a lattice of a smooth density are spectrally accurate.
    """
    from scipy.sparse import coo_matrix, identity
    from scipy.sparse.linalg import spsolve

    m = round(REACH / h)
    x = h * np.arange(-m, m + 1)
    size = len(x)
    xs, vs = np.tile(x, 2), np.repeat([1.0, -1.0], size)
    here = np.arange(2 * size)
    padded = np.zeros((2, ROOM))  # one shape, hence one compilation, for every h
    padded[:, here] = xs, vs
    places, speeds = (jnp.asarray(row) for row in padded)
    step = _branches(scheme, process, places, speeds, jnp.asarray(h))
    turn, *ends = jax.tree.map(lambda a: np.asarray(a)[here], step)
    rows, columns, values = [], [], []
    for p, end in zip((1 - turn, turn), ends, strict=True):
        place = np.clip(np.rint(end.position[:, 0] / h).astype(int), -m, m)
        columns.append(place + m + size * (end.velocity[:, 0] < 0))
        rows.append(here)
        values.append(p)
    matrix = coo_matrix(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    )
    # the balance equations but one, for the weights over that of the middle point
    balance = (matrix.T - identity(2 * size)).tocsc()
    others = here != m
    rest = balance[others]
    weights = np.ones(2 * size)
    solved: Any = spsolve(rest[:, others], -rest[:, [m]].toarray()[:, 0])
    weights[others] = solved
    weights /= np.sum(weights)
    return xs.reshape(2, size), vs.reshape(2, size), weights.reshape(2, size)


def biases(scheme: Splitting, steps: np.ndarray) -> np.ndarray:
    """E_h φ − E_π φ for φ = x² + x v, which sees the velocities as well."""
    process = ZigZag(anharmonic())
    found = []
    for h in steps:
        x, v, w = lattice_law(scheme, process, float(h))
        found.append(np.sum(w * (x**2 + x * v)))
    return np.array(found) - moments()[0]


def moments() -> tuple[float, float]:
    """E x² and Var x² of the density ∝ exp(-x²/2 - x⁴/4), by quadrature."""
    x = np.linspace(-REACH, REACH, 4001)  # periodic to all digits: spectral
    w = np.exp(-(x**2) / 2 - x**4 / 4)
    first, second = (float(np.sum(w * x**k) / np.sum(w)) for k in (2, 4))
    return first, second - first**2


def constant() -> float:
    """Cov_π(x², U'')/24 = Var_π(x²)/8."""
    return moments()[1] / 8


def _steps(ctx: Context) -> np.ndarray:
    return 0.4 / 2.0 ** np.arange(ctx.choose(5, 7))


@claim(
    "pdmp.splitting-bias",
    title="Drift, turns, drift: Zig-Zag's potential is off by h² U''/24",
    source=SPLITTING,
    statement=r"\pi_h \propto e^{-U + h^2 U''/24 + O(h^4)},\qquad \mathbb E_h\varphi - "
    r"\mathbb E_\pi\varphi = \frac{h^2}{24}\,\mathrm{Cov}_\pi(\varphi, U'') + O(h^4)",
    hypotheses=(r"$U = x^2/2 + x^4/4$ in one dimension", "no excess turns"),
    grade="measured",
    delta=1e-3,
    quick_delta=1e-3,
)
def splitting_bias(ctx: Context) -> Iterator[Evidence]:
    """Order 2 and its constant, on the stationary law of the chain's matrix.

    With weights e^{-hU'(m)} at the midpoints m of the lattice the law is that of the
    midpoint rule for U, whose error a step is -h³U'''/24.
    """
    h = _steps(ctx)
    errors = biases(DBD, h)
    yield decide.order(2.0, h, np.abs(errors), floor=1e-13, q=2)
    yield decide.leading_constant(
        constant(), h, errors, 2, delta=ctx.delta, floor=1e-13, q=2
    )


@splitting_bias.control("the drift in one piece: order 1", expected=1.0)
def _(ctx: Context) -> Evidence:
    h = _steps(ctx)
    return decide.order(2.0, h, np.abs(biases(DB, h)), floor=1e-13)


@splitting_bias.control("U''/12 in place of U''/24", expected=constant())
def _(ctx: Context) -> Evidence:
    h = _steps(ctx)
    return decide.leading_constant(
        2 * constant(), h, biases(DBD, h), 2, delta=ctx.delta, floor=1e-13, q=2
    )


# On a quadratic there is no bias.


def _detailed_balance(excess: float) -> Evidence:
    """π(x) P((x, +) -> (x + h, +)) = π(x + h) P((x + h, −) -> (x, −)), uphill."""
    import sympy

    kappa, middle, h = sympy.symbols("kappa m h", positive=True)
    process = ZigZag(quadratic([1.0]), excess)

    def stays(kappa, middle, h):
        model = ZigZag(quadratic_like(process, kappa), excess)
        up, down = jnp.ones(1), -jnp.ones(1)
        out = []
        for v in (up, down):
            x = (middle - v[0] * h / 2)[None]
            turn, stayed, _ = branches(DBD, model, x, v, h)
            out += [1 - turn, stayed.position[0]]
        return out

    out = exactly(stays, kappa, middle, h)
    forward, there, back, here = (off_zero(e) for e in out)
    energy = kappa * (there**2 - here**2) / 2
    return identical(
        np.array([forward, there, here]),
        np.array([back * sympy.exp(-energy), middle + h / 2, middle - h / 2]),
        "skew detailed balance on the lattice",
    )


def quadratic_like(process: ZigZag, kappa: Any) -> Any:
    """The process's quadratic with another curvature."""
    loss: Any = process.objective
    return eqx.tree_at(lambda f: f.matrix, loss, kappa[None])


@claim(
    "pdmp.splitting-exact",
    title="Drift, turns, drift has no bias on a one-dimensional Gaussian",
    source=SPLITTING,
    statement=r"e^{-U(x)}\,P_h\bigl((x, +) \to (x + h, +)\bigr) = e^{-U(x + h)}\,"
    r"P_h\bigl((x + h, -) \to (x, -)\bigr)\ \text{for}\ U = \kappa x^2/2",
    hypotheses=(
        r"$\kappa, h > 0$, the midpoint to the right of the centre",
        "no excess turns",
    ),
    grade="proved",
)
def splitting_exact(ctx: Context) -> Evidence:
    """From the parts' own maps and probabilities; the midpoint rule is exact for U."""
    return _detailed_balance(0.0)


@splitting_exact.control("excess turns, which are of second order only")
def _(ctx: Context) -> Evidence:
    return _detailed_balance(0.5)
