"""How fast switching flows forget their start, with momentum and without."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import sympy

from flows import finite_sum, quadratic_sum
from flows.problems import logistic_regression
from flows.symbolic import exactly, symbol_vector, symbols_like
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.decide import Measurement
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.papers import losing_momentum, stochastic_gradient_process
from sde import (
    StochasticGradientMomentumProcess,
    StochasticGradientProcess,
    SwitchingMomentumState,
    SwitchingState,
    UniformIndex,
    draw_index_path,
    solve_switching,
)

T = sympy.Symbol("t", positive=True)
CENTRES = [[1.0, 0.5], [-1.0, 2.0], [3.0, -1.0]]
KAPPA, LARGEST, FRICTION = 0.5, 1.1, 1.0


# Without momentum.


@claim(
    "pdmp.contraction",
    title="With one curvature two laws approach each other at exactly the rate κ/α",
    source=stochastic_gradient_process("the process; the constants derived here"),
    statement=r"f_i = \tfrac\kappa2|x - a_i|^2\ \Rightarrow\ "
    r" W_p(\mathcal L(x_t), \mathcal L(x'_t)) = e^{-\kappa t/\alpha}|x_0 - x'_0|,"
    r"\ p \ge 1;\quad \nabla^2 f_i \ge \kappa I\ \Rightarrow\ "
    r" W_p(\mathcal L(x_t), \mathcal L(x'_t)) \le e^{-\kappa t/\alpha}|x_0 - x'_0|",
    hypotheses=(r"$x_0, x'_0$ fixed", "one law of the label at the start"),
    grade="proved",
)
def contraction(ctx: Context) -> Iterator[Evidence]:
    """A coupling gives "at most", the means "at least"; parameters are symbols.

    Two paths with one path of the label keep their difference but for the factor
    e^{-κτ/α} of a stay of length τ, whatever the label; and W_p is not below the
    distance of the means, whose derivative is -κ/α times itself.

    For convex losses ∇f(x + d) - ∇f(x) = H̄d, H̄ = ∫₀¹ ∇²f(x + sd) ds = κI + BBᵀ, the
    gradient of a quadratic: |d|²' = -(2/α)(κ|d|² + |Bᵀd|²) <= -(2κ/α)|d|².
    """
    process = symbols_like(_process(1.0), curvatures={"positive": True})
    rate = process.objective.curvatures / process.friction
    d = symbol_vector("d", 2)
    for label in (0, 2):
        yield _coupled(process, label, rate)
    means = exactly(_drift_gap, process, symbol_vector("x", 2), d)
    yield identical(means, -rate * d, "distance of means")
    yield _convex(1)


def _convex(factor: Any) -> Evidence:
    """|d|²' for Hessians κI + factor BBᵀ, against what BBᵀ itself gives."""
    kappa = sympy.Symbol("kappa", positive=True)
    turn, *root = sympy.symbols("tau b:2", real=True)
    basis = np.array([[1 - turn**2, -2 * turn], [2 * turn, 1 - turn**2]], dtype=object)
    basis = basis / (1 + turn**2)  # a rotation; B = basis · diag(root)
    process: Any = symbols_like(_process(np.stack([np.diag([1.0, 2.0])] * 3)))
    process = eqx.tree_at(
        lambda p: (p.objective.curvatures, p.objective.bases),
        process,
        (
            np.array([[kappa + factor * r**2 for r in root]] * 3, dtype=object),
            np.stack([basis] * 3),
        ),
    )
    b = basis * np.array(root, dtype=object)
    x, d = symbol_vector("x", 2), symbol_vector("d", 2)

    def change(process, x, d):
        fields = [
            process.vector_field(0.0, SwitchingState(z, jnp.asarray(1))).position
            for z in (x + d, x)
        ]
        return 2 * jnp.sum(d * (fields[0] - fields[1]))

    found = exactly(change, process, x, d)
    claimed = -2 / process.friction * (kappa * (d @ d) + np.sum((b.T @ d) ** 2))
    return identical(found, claimed, "|d|² of convex losses")


def _process(curvatures: Any) -> Any:
    return StochasticGradientProcess(
        quadratic_sum(CENTRES, curvatures), UniformIndex(3, 1.0)
    )


def _coupled(process: Any, label: int, rate: Any) -> Evidence:
    def gap(process, t, x, d):
        a, b = (process.exact(0.0, SwitchingState(z, label), t) for z in (x, x + d))
        return b.position - a.position

    d = symbol_vector("d", 2)
    found = exactly(gap, process, T, symbol_vector("x", 2), d)
    return identical(found, sympy.exp(-rate * T) * d, "coupled difference")


def _drift_gap(process, x, d):
    """(L x)(x + d, i) - (L x)(x, i), i = 1."""

    def drift(z, k):
        l_phi = process.generator(lambda t, y: y.position[k])
        return l_phi(0.0, SwitchingState(z, jnp.asarray(1)))

    return jnp.stack([drift(x + d, k) - drift(x, k) for k in range(2)])


@contraction.control("the rate of label 0 where curvatures differ")
def _(ctx: Context) -> Evidence:
    process = symbols_like(
        _process([1.0, 2.0, 3.0]), curvatures={"positive": True}
    )  # fmt: skip
    curvatures = np.ravel(process.objective.curvatures)
    return _coupled(process, 2, curvatures[0] / process.friction)


@contraction.control("Hessians κI - BBᵀ, below κ")
def _(ctx: Context) -> Evidence:
    return _convex(-1)


@contraction.route("logistic losses", grade="measured")
def _(ctx: Context) -> Evidence:
    """Pairs of paths on one path of the label: the largest |d_t| e^{κt/α}/|d_0|."""
    process = StochasticGradientProcess(_logistic(), UniformIndex(5, 3.0), FRICTION)

    def worst(gap, times):
        size = np.linalg.norm(gap.position, axis=-1)
        ratios = size / size[:, :1] * np.exp(KAPPA / FRICTION * times)
        return float(np.max(ratios[:, 1:]))

    return decide.upper_bound(
        1.0,
        _of_pairs(process, 0.0, worst),
        delta=ctx.delta,
        note="16 random pairs, 5 logistic losses with ridge κ = 1/2 in 3 dimensions",
    )


def _logistic() -> Any:
    """Five losses log(1 + e^{-x_i·w}) + |w|²/4: Hessians between 1/2 and 1.1."""
    rows = np.random.default_rng(1).normal(size=(5, 3))
    rows *= np.sqrt(4 * 0.6) / np.max(np.linalg.norm(rows, axis=1))
    signs = np.array([1.0, -1.0, 1.0, 1.0, -1.0])
    return finite_sum(
        [
            logistic_regression(rows[i : i + 1], signs[i : i + 1], ridge=KAPPA)
            for i in range(5)
        ]
    )


def _of_pairs(process: Any, speed: float, fn: Any) -> Measurement:
    """A function of the differences of 16 pairs on 16 paths of the label, and times.

    The bias allowed for is its largest change between three tolerances, each a
    hundredth of the one before.
    """
    times = np.linspace(0.0, 6.0, 61)
    draw = functools.partial(draw_index_path, process.index, t1=6.0, events=80)
    paths = jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(5), 16))
    starts = np.random.default_rng(2).normal(size=(2, 2, 16, 3))
    labels, values = jnp.zeros(16, dtype=int), []
    for tolerance in (1e-6, 1e-8, 1e-10):
        found = []
        for x, v in jnp.asarray(starts):
            y0: Any = SwitchingState(3 * x, labels)
            if speed:
                y0 = SwitchingMomentumState(3 * x, speed * v, labels)
            run = solve_switching(
                process, paths, y0, t1=6.0, times=times, rtol=tolerance, atol=tolerance
            )
            found.append(run.states._replace(label=None))
        gap = jax.tree.map(lambda a, b: np.asarray(a - b), *found)
        values.append(fn(gap, times))
    moves = np.abs(np.diff(values))
    return Measurement(values[-1], bias=float(np.max(moves)) + 1e-12)


# With momentum.


@claim(
    "pdmp.momentum-contraction",
    title="With enough friction momentum contracts at the rate κ/α, in a twisted norm",
    source=losing_momentum("the process; norm and constants derived here"),
    statement=r"\alpha^2 \ge m(\kappa + L)\ \Rightarrow\ "
    r"\tfrac{\mathrm d}{\mathrm dt}\|z\| \le -\tfrac\kappa\alpha\|z\|,\quad"
    r" \|z\|^2 = |v + \tfrac\alpha m x|^2 + |v|^2,\ z = (x, v)\ \text{a difference};"
    r"\quad W_p(x_t, x'_t) \le \sqrt2\,e^{-\kappa t/\alpha}W_p(x_0, x'_0);"
    r"\quad\text{in general the rate is}\ \min\bigl(\tfrac\kappa\alpha,"
    r" \tfrac{\alpha^2 - mL}{m\alpha}\bigr)",
    hypotheses=(
        r"$\kappa I \le \nabla^2 f_i \le L I$",
        "one path of the label for both",
        "for the bound on $W_p$: equal velocities at the start",
    ),
    grade="proved",
    delta=1e-6,
    unit="1/time",
)
def momentum_contraction(ctx: Context) -> Iterator[Evidence]:
    """The cross terms cancel, eigenvalue by eigenvalue; then the rate is attained.

    In -(2/α)[k |v + αx/m|² + (α²/m - k)|v|²] with κ <= k <= L both factors are at least
    α times the rate of the statement. The start's ‖z‖ is (α/m)|x|, and ‖z‖² is at
    least (α/m)²|x|²/2: hence √2. The rate is attained: the smallest generalised
    eigenvalue over the curvatures κ = 0.5 and L = 1.1.
    """
    yield _balance(1)
    yield _position()
    for mass in (0.2, 0.625, 1.0):  # ample friction, α² = m(κ + L), too little
        rate = min(KAPPA / FRICTION, (FRICTION**2 - mass * LARGEST) / (mass * FRICTION))
        yield _rate(ctx, mass, rate)


def _position() -> Evidence:
    """|v + gx|² + |v|² = g²|x|²/2 + 2|v + gx/2|²: the norm bounds the position."""
    g, x, v = sympy.symbols("g x v", real=True)
    norm = (v + g * x) ** 2 + v**2
    return identical(norm, g**2 * x**2 / 2 + 2 * (v + g * x / 2) ** 2, "‖z‖² and |x|²")


def _momentum(curvatures: Any, mass: float = 1.0) -> Any:
    centres = np.zeros((2, 1))
    return StochasticGradientMomentumProcess(
        quadratic_sum(centres, curvatures), UniformIndex(2, 1.0), mass, FRICTION
    )


def _symbolic_momentum() -> Any:
    """Symbols for κ, m and α; centres stay 0."""
    like = symbols_like(_momentum(1.0), curvatures={"positive": True})
    return eqx.tree_at(lambda p: p.objective.centres, like, jnp.zeros((2, 1)))


def _balance(twist: int) -> Evidence:
    """d|z|²/dt = -(2/α)[k (v + αx/m)² + (α²/m - k) v²] along a curvature k."""
    process = _symbolic_momentum()
    k, m, a = process.objective.curvatures, process.mass, process.friction
    x, v = symbol_vector("x", 1), symbol_vector("v", 1)

    def change(process, x, v):
        y = SwitchingMomentumState(x, v, jnp.asarray(0))
        field = process.vector_field(0.0, y)

        def square(x, v):
            lean = v + process.friction / process.mass * x / twist
            return jnp.sum(lean * lean + v * v)

        return jax.jvp(square, (x, v), (field.position, field.velocity))[1]

    found = exactly(change, process, x, v)
    lean = v[0] + a / m * x[0] / twist
    claimed = -2 / a * (k * lean**2 + (a**2 / m - k) * v[0] ** 2)
    return identical(found, claimed, "d|z|²/dt")


def _rate(ctx: Context, mass: float, claimed: float) -> Evidence:
    """The smallest rate over all differences and both labels.

    Rounding moves an eigenvalue by ε times the two matrices' sizes over the norm's
    smallest eigenvalue.
    """
    from scipy.linalg import eigh

    process = _momentum([KAPPA, LARGEST], mass)
    g = FRICTION / mass
    norm, slowest, rounding = np.array([[g * g, g], [g, 2.0]]), np.inf, 0.0
    for label in range(2):
        columns = []
        for unit in np.eye(2):
            x, v = jnp.asarray(unit[:1]), jnp.asarray(unit[1:])
            y = SwitchingMomentumState(x, v, jnp.asarray(label))
            field = process.vector_field(0.0, y)
            columns.append(np.concatenate([field.position, field.velocity]))
        change = norm @ np.stack(columns, axis=1)
        decay = -(change + change.T) / 2
        slowest = min(slowest, eigh(decay, norm, eigvals_only=True)[0])
        size = np.linalg.norm(decay) * np.linalg.cond(norm) / np.linalg.norm(norm)
        rounding = max(rounding, 50 * np.finfo(float).eps * size)
    return decide.equal(
        claimed,
        Measurement(slowest, bias=rounding),
        delta=ctx.delta,
        quantity=f"rate at m = {mass:g}",
    )


@momentum_contraction.control("half the twist, v + αx/(2m)")
def _(ctx: Context) -> Evidence:
    return _balance(2)


@momentum_contraction.control("α² < m(κ + L): the norm may grow", expected=-0.1)
def _(ctx: Context) -> Evidence:
    return _rate(ctx, 1.0, KAPPA / FRICTION)


@momentum_contraction.route("logistic losses", grade="measured")
def _(ctx: Context) -> Evidence:
    """The smallest rate of the norm's decay, between neighbouring times of pairs."""
    mass = 0.625
    process = StochasticGradientMomentumProcess(
        _logistic(), UniformIndex(5, 3.0), mass, FRICTION
    )

    def slowest(gap, times):
        lean = gap.velocity + FRICTION / mass * gap.position
        size = np.sqrt(np.sum(lean**2 + gap.velocity**2, axis=-1))
        return float(np.min(-np.diff(np.log(size), axis=1) / np.diff(times)))

    return decide.lower_bound(
        KAPPA / FRICTION,
        _of_pairs(process, 2.0, slowest),
        delta=1e-3,
        note="16 random pairs, 5 logistic losses in 3 dimensions, m(κ + L) = α²",
    )


# The best mass.


@claim(
    "pdmp.best-mass",
    title="On one quadratic the best mass doubles the rate: 2κ/α at m = α²/(4κ)",
    source=losing_momentum("the flow without switching; derived here"),
    statement=r"\mu(m) = \tfrac{\mathrm{Re}[\alpha - \sqrt{\alpha^2 - 4\kappa m}]}"
    r"{2m} = \tfrac{2\kappa}{\alpha(1 + q)}\ \bigl(m = \tfrac{\alpha^2(1 - q^2)}"
    r"{4\kappa}\bigr),\quad \tfrac{2\kappa}{\alpha(1 + w^2)}"
    r"\ \bigl(m = \tfrac{\alpha^2(1 + w^2)}{4\kappa}\bigr)",
    hypotheses=(r"$0 \le q < 1$ (real roots), $w \ge 0$ (complex roots)",),
    grade="proved",
)
def best_mass(ctx: Context) -> Iterator[Evidence]:
    """The roots of the field's characteristic polynomial in either regime.

    Both rates fall in q and w: they are largest, 2κ/α, where q = w = 0.
    """
    yield _roots(imaginary=False)
    yield _roots(imaginary=True)


def _roots(imaginary: bool, factor: Any = 1) -> Evidence:
    """det(J + μI) is zero at μ, and at α/m - μ (its conjugate where complex)."""
    process = _symbolic_momentum()
    k, m, a = process.objective.curvatures, process.mass, process.friction
    w = sympy.Symbol("w", positive=True)
    q = sympy.I * w if imaginary else w
    mass = a**2 * (1 - q**2) / (4 * k)

    def jacobian(process):
        def column(u):
            state = SwitchingMomentumState(u[:1], u[1:], jnp.asarray(0))
            return jnp.concatenate(process.vector_field(0.0, state)[:2])

        return jnp.stack([column(u) for u in jnp.eye(2)], axis=1)

    matrix = sympy.Matrix(exactly(jacobian, process)).subs(m, mass)
    mu = 2 * k / (a * (1 + q)) * factor
    found = [sympy.expand((matrix + mu * sympy.eye(2)).det())]
    if imaginary:  # μ = 2κ(1 - iw)/(α(1 + w²)): the rate is its real part
        real = 2 * k / (a * (1 + w**2)) * factor
        found = [sympy.simplify(found[0]), sympy.simplify(sympy.re(mu) - real)]
    else:
        fast = a / mass - mu  # the other root, minus the trace: not slower
        found.append(sympy.simplify(fast - mu - 4 * k * w / (a * (1 - w**2))))
    return identical(found, [0] * len(found), "slow root")


@best_mass.control("a factor of 1 + 1/1000 in the rate")
def _(ctx: Context) -> Evidence:
    return _roots(imaginary=False, factor=sympy.Rational(1001, 1000))
