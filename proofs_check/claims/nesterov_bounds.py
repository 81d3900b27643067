"""NAG-C's energy, its bound on f - f*, and how sharp the constant is."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
import sympy
from jaxtyping import Array, Float

from discretize import OptaxStep, Training, nag_c
from discretize.optimizers import NesterovState
from flows import Facts, Objective, iterate
from flows.problems import quadratic
from flows.symbolic import IdentityResult, equal_symbolically, exactly
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.papers import nesterov_flow


def convex(hyper):
    """NAG-C."""
    return nag_c(hyper["rate"])


def modes(build: Callable, spectrum: Any, steps: int, **hyper: float) -> np.ndarray:
    """Parameters of an optimiser on Σ λ x²/2 from ones, shape [steps + 1, modes].

    The modes do not see each other: each is the run on its own quadratic.
    """
    scheme = OptaxStep(build, {k: jnp.asarray(v) for k, v in hyper.items()})
    training = Training(quadratic(spectrum))
    start = jnp.ones(len(spectrum))
    return np.asarray(iterate(scheme, training, start, h=1.0, steps=steps).positions)


def descent(path: np.ndarray, gradients: np.ndarray, rate: float) -> np.ndarray:
    """x_0, x_1, ...: a gradient step from each look-ahead, the start in front."""
    return np.concatenate([path[:1], (path - rate * gradients)[:-1]])


# The energy of NAG-C.

K = sympy.Symbol("k", nonnegative=True)
RATE = sympy.Symbol("s", positive=True)
BEYOND = sympy.Symbol("b", nonnegative=True)
X, Y, G = sympy.symbols("x y g", real=True)
F, F_NEXT = sympy.symbols("F F_next", nonnegative=True)


def _step(friction: Any) -> Any:
    """x_{k+1} and y_{k+1} of the traced optimiser from x_k, y_k and a gradient."""

    def run(rate, friction, k, x, y, g):
        state: Any = NesterovState(k, y - x)
        update, state = nag_c(rate, friction).update(g, state, y)
        return y + update - state.offset, y + update

    return exactly(run, RATE, friction, K, X, Y, G)


def _energy_identity(friction: Any, weight: Any = 1) -> Evidence:
    """E_{k+1} - E_k = -Σ factor · inequality, and the signs of the factors.

    One coordinate proves it for all: what vanishes for every rank-one Gram matrix of
    x - x*, y - x* and g vanishes for every Gram matrix.
    """
    r, (x_next, y_next) = friction, _step(friction)

    def energy(k, gap, x, y):
        z = ((k + r - 1) * y - k * x) / (r - 1)
        return weight * 2 * RATE * (k + r - 2) ** 2 / (r - 1) * gap + (r - 1) * z**2

    # f(y - s g) <= f(u) + ⟨g, y - u⟩ - s |g|²/2 for s <= 1/L, at u = x_k and at x*
    at_x = F - F_NEXT + G * (Y - X) - RATE * G**2 / 2
    at_minimiser = -F_NEXT + G * Y - RATE * G**2 / 2
    scale = 2 * RATE / (r - 1)
    certificate = [
        (scale * K * (K + r - 1), at_x),
        (scale * (r - 1) * (K + r - 1), at_minimiser),
        (scale * ((r - 3) * K + (r - 2) ** 2), F),
    ]
    left = energy(K + 1, F_NEXT, x_next, y_next) - energy(K, F, X, Y)
    right = -sympy.Add(*(factor * term for factor, term in certificate))
    found = equal_symbolically([left], [right])
    signs = [sympy.factor(factor).is_nonnegative for factor, _ in certificate]
    if found.proved and not all(signs):
        found = IdentityResult("undecided", remainder=f"signs of factors: {signs}")
    return decide.identity(found, name="E_{k+1} - E_k = -Σ (≥ 0)(≥ 0)")


def _first_energy(share: Any = 1) -> Evidence:
    """E_1 = (r-1)|x_0 - x*|² - 2s(r-1) (inequality at x*), from x_0 = y_0, k = 0."""
    r = 3 + BEYOND
    x, y = (e.subs({K: 0, X: Y}) for e in _step(r))
    z = (r * y - x) / (r - 1)
    energy = 2 * RATE * (r - 1) * F_NEXT + (r - 1) * z**2
    at_minimiser = -F_NEXT + G * Y - RATE * G**2 / 2
    claimed = share * (r - 1) * Y**2 - 2 * RATE * (r - 1) * at_minimiser
    return identical([energy], [claimed], "E_1")


@claim(
    "inertial.nag-c-energy",
    title="The energy of NAG-C never increases for r >= 3 and s <= 1/L",
    source=nesterov_flow("Nesterov's scheme with (k-1)/(k+r-1); theorem on its rate"),
    statement=r"E_k = \tfrac{2s(k+r-2)^2}{r-1}(f(x_k)-f_*) + (r-1)|z_k-x_*|^2,\ z_k ="
    r" \tfrac{(k+r-1)y_k - kx_k}{r-1}:\ E_{k+1}\le E_k,\ E_1\le(r-1)|x_0-x_*|^2,\quad"
    r" f(x_k)-f_*\le\frac{(r-1)^2|x_0-x_*|^2}{2s(k+r-2)^2}",
    hypotheses=(r"$f$ convex, $\nabla f$ $L$-Lipschitz", r"$s \le 1/L$", r"$r \ge 3$"),
    grade="proved",
    delta=1e-6,
    unit="E (unit of |x|²)",
)
def nag_c_energy(ctx: Context) -> Iterator[Evidence]:
    """The traced optimiser's step at any k, with s and r = 3 + b symbols."""
    yield _energy_identity(3 + BEYOND)
    yield _first_energy()


@nag_c_energy.control("f - f* with the factor 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    return _energy_identity(3 + BEYOND, sympy.Rational(1001, 1000))


@nag_c_energy.control("a start smaller by 1/1000")
def _(ctx: Context) -> Evidence:
    return _first_energy(sympy.Rational(999, 1000))


# The bound on f - f*, and functions that come close to it.


class Corner(Objective):
    """f = |x| - w/2 for |x| > w and x²/(2w) inside: convex, L = 1/w, least at 0."""

    facts: Facts
    width: Float[Array, ""]

    @property
    def size(self) -> int:
        """One coordinate."""
        return 1

    def value(self, x: Float[Array, " n"], batch: Any = None) -> Float[Array, ""]:
        """|x| - w/2, or x²/(2w)."""
        del batch
        far, w = jnp.abs(x[0]), self.width
        return jnp.where(far > w, far - w / 2, far**2 / (2 * w))

    def gradient(self, x: Float[Array, " n"], batch: Any = None) -> Float[Array, " n"]:
        """The sign of x, or x/w."""
        del batch
        return jnp.clip(x / self.width, -1.0, 1.0)


def _corner_gap(steps: int) -> float:
    """s(k+1)² f(x_k)/x_0² at k = steps, x_0 = 1, s = 1/L = w = 4/k²."""
    width = 4.0 / steps**2
    corner = Corner(Facts(), jnp.asarray(width))
    scheme, start = OptaxStep(convex, {"rate": jnp.asarray(width)}), jnp.ones(1)
    run = iterate(scheme, Training(corner), start, h=1.0, steps=steps - 1, save="last")
    before = jnp.asarray(run.positions[-1])  # y_{k-1}
    x = before - width * corner.gradient(before)
    return float((steps + 1) ** 2 * width * corner.value(x))


def _extrapolated(values: list[float]) -> list[float]:
    """2 m_{j+1} - m_j of values whose error halves."""
    return [2 * b - a for a, b in itertools.pairwise(values)]


@claim(
    "inertial.nag-c-bound",
    title="2|x_0 - x*|²/(s(k+1)²) bounds NAG-C, and no smaller constant does",
    source=nesterov_flow("rate of Nesterov's scheme; that 2 is sharp is derived here"),
    statement=r"\sup_{f,k}\frac{s(k+1)^2(f(x_k)-f_*)}{|x_0-x_*|^2} = 2,\qquad"
    r" \text{on quadratics } 2\max J_1^2 = 0.67713",
    hypotheses=(
        r"$f$ convex, $\nabla f$ $L$-Lipschitz, $0 < s \le 1/L$",
        r"approached by $c|x|$ with a corner of width $\to 0$ at $k^2s = 4x_0/c$",
    ),
    grade="measured",
    delta=1e-3,
    quick_delta=1e-2,
    unit="|x|²",
)
def nag_c_bound(ctx: Context) -> Iterator[Evidence]:
    """The largest ratio on corners, extrapolated in 1/k, and over quadratic modes."""
    sizes = ctx.choose((50, 100, 200, 400), (400, 800, 1600, 3200))
    ratios = [_corner_gap(k) for k in sizes]
    yield decide.upper_bound(
        2.0,
        decide.Measurement(max(ratios), bias=1e-12),
        delta=ctx.delta,
        quantity="s(k+1)²F/|e|²",
        route="corners",
        note="the energy proves it for all; here corners of width 4/k²",
    )
    limit = decide.ladder(_extrapolated(ratios))
    yield decide.equal(
        2.0, limit, delta=ctx.delta, quantity="its limit", route="corners"
    )
    yield _quadratic_constant(ctx.delta)


def _largest(smallest: float) -> float:
    """Of s(k+1)²F/|e|² over modes sλ >= smallest, 1 the largest, and over k."""
    spectrum = np.geomspace(smallest, 1.0, 24)
    y = modes(convex, spectrum, 400, rate=1.0)
    gaps = spectrum * descent(y, spectrum * y, 1.0) ** 2 / 2
    return float(np.max((np.arange(401)[:, None] + 1) ** 2 * gaps))


def _quadratic_constant(delta: float) -> Evidence:
    from scipy.special import jnp_zeros, jv

    # √(sλ) = 0.08, 0.04, ...: the peak of J_1 is at k = 23, 46, ...
    ratios = [_largest(0.08**2 / 4**j) for j in range(5)]
    limit = decide.ladder(_extrapolated(ratios))
    return decide.equal(
        2 * jv(1, jnp_zeros(1, 1)[0]) ** 2,
        limit,
        delta=delta,
        quantity="sup over quadratics",
        route="modes",
    )


@nag_c_bound.control("learning rate 1.6/L, above the limit 4/(3L)")
def _(ctx: Context) -> Evidence:
    y = modes(convex, [1.0], 60, rate=1.6)
    gaps = descent(y, y, 1.6)[:, 0] ** 2 / 2
    worst = float(np.max(1.6 * (np.arange(61) + 1) ** 2 * gaps))
    measured = decide.Measurement(worst, bias=1e-9 * worst)
    return decide.upper_bound(2.0, measured, delta=ctx.delta)


@nag_c_bound.control("the constant 1.9")
def _(ctx: Context) -> Evidence:
    worst = decide.Measurement(_corner_gap(400), bias=1e-12)
    return decide.upper_bound(1.9, worst, delta=ctx.delta)
