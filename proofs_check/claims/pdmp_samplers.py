r"""Samplers by velocity jumps: what they leave invariant, and how often they turn."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flows import from_sympy
from flows.dynamics import directional
from flows.problems import quadratic
from flows.symbolic import exactly, symbol_vector, symbols_like
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from sde import (
    Boomerang,
    BouncyParticle,
    LangevinState,
    VelocityJumps,
    ZigZag,
    simulate_skeletons,
)

ZIGZAG = Source(
    title="The Zig-Zag process and super-efficient sampling for Bayesian analysis of "
    "big data",
    authors="Joris Bierkens, Paul Fearnhead and Gareth Roberts",
    year=2019,
    arxiv="1607.03188",
    location="the process; constants on a Gaussian derived here",
)
BOUNCY = Source(
    title="The Bouncy Particle Sampler: A Nonreversible Rejection-Free Markov Chain "
    "Monte Carlo Method",
    authors="Alexandre Bouchard-Côté, Sebastian J. Vollmer and Arnaud Doucet",
    year=2018,
    arxiv="1510.02451",
    location="the process, and that refreshment is needed",
)
BOOMERANG = Source(
    title="The Boomerang Sampler",
    authors="Joris Bierkens, Sebastiano Grazzi, Kengo Kamatani and Gareth Roberts",
    year=2020,
    arxiv="2006.13777",
    location="the process",
)
SIZE = 2


def any_slope() -> Any:
    """U = a x + b y: at one point any U, as the balance holds its gradient alone."""
    import sympy

    x, y, a, b = sympy.symbols("x y a b")
    return from_sympy(a * x + b * y, [x, y], {a: 0.3, b: -0.7})


def off_zero(expression: Any) -> Any:
    """The expression where nothing that is compared with 0 vanishes."""
    import sympy

    return sympy.sympify(expression).replace(
        lambda e: isinstance(e, sympy.Equality), lambda e: sympy.false
    )


def invariance_defects(
    process: VelocityJumps, x: Any, v: Any, factor: float, weight: Any
) -> list[Any]:
    r"""What must vanish where e^{-H}, H = factor·U + v·Wv/2, is invariant.

    For bounces y -> R_c y that are volume-preserving involutions, L* e^{-H} = 0 is
    z·∇H + Σ_c [λ_c(R_c y) - λ_c(y)] = 0 for the field z, with div z = 0 and
    H(R_c y) = H(y). Refreshment draws v from its own conditional law.
    """

    def energy(_, y):
        moving = jnp.sum(y.velocity * weight * y.velocity) / 2
        return factor * process.objective.value(y.position) + moving

    def field(z):
        moved = process.vector_field(0.0, LangevinState(z[:SIZE], z[SIZE:]))
        return jnp.concatenate([moved.position, moved.velocity])

    y = LangevinState(x, v)
    balance = directional(energy, 0.0, y, process.vector_field(0.0, y), 0.0)
    kept = []
    for channel in range(process.clocks):
        before = process.jump(0.0, y, channel).sample(None)
        back = process.jump(0.0, before, channel).sample(None)
        rate = process.rates(0.0, before)[channel] - process.rates(0.0, y)[channel]
        balance = balance + rate
        kept += [energy(0.0, before) - energy(0.0, y)]
        kept += list(back.velocity - v)
    divergence = jnp.trace(jax.jacfwd(field)(jnp.concatenate([x, v])))
    return [balance, divergence, *kept]


def _invariance(process: Any, factor: Any = 1, weight: Any = 1) -> Evidence:
    symbolic = symbols_like(process)
    if weight is None:  # that of the reference law
        weight = symbolic.precision
    x, v = symbol_vector("x", SIZE), symbol_vector("v", SIZE)
    defects = exactly(invariance_defects, symbolic, x, v, factor, weight)
    left = np.array([off_zero(d) for d in defects], dtype=object)
    return identical(
        left, np.zeros(len(left), dtype=object), "L* e^{-H} = 0, R² = 1, H(R y) = H(y)"
    )


def _invariance_claim(name: str, title: str, source: Source, law: str) -> Any:
    return claim(
        f"pdmp.{name}-invariance",
        title=title,
        source=source,
        statement=r"\mathcal L^* e^{-H} = 0,\quad H = U(x)" + law,
        hypotheses=(
            "two coordinates, any value of the gradient of U at the point",
            "a bounce's field does not vanish there",
        ),
        grade="proved",
    )


@_invariance_claim(
    "zigzag",
    "The Zig-Zag process leaves e^{-U} times uniform signs invariant",
    ZIGZAG,
    "",
)
def zigzag_invariance(ctx: Context) -> Evidence:
    """Σ_j [(−v_j ∂_jU)₊ − (v_j ∂_jU)₊] = −v·∇U, from the process's own code."""
    return _invariance(ZigZag(any_slope(), 0.3), 1, 1)


@zigzag_invariance.control("the density e^{-2U}")
def _(ctx: Context) -> Evidence:
    return _invariance(ZigZag(any_slope(), 0.3), 2, 1)


@_invariance_claim(
    "bouncy",
    "The bouncy particle leaves e^{-U} times a standard normal velocity invariant",
    BOUNCY,
    r" + \tfrac12 |v|^2",
)
def bouncy_invariance(ctx: Context) -> Evidence:
    """(Rv·∇U)₊ − (v·∇U)₊ = −v·∇U as Rv·∇U = −v·∇U, and |Rv| = |v|."""
    return _invariance(BouncyParticle(any_slope(), 0.3))


@bouncy_invariance.control("the density e^{-2U}")
def _(ctx: Context) -> Evidence:
    return _invariance(BouncyParticle(any_slope(), 0.3), 2)


def _boomerang() -> Boomerang:
    return Boomerang(any_slope(), 0.3, [1.5, 0.8])


@_invariance_claim(
    "boomerang",
    "The boomerang leaves e^{-U} times the reference law of the velocity invariant",
    BOOMERANG,
    r" + \tfrac12 v\cdot P v",
)
def boomerang_invariance(ctx: Context) -> Evidence:
    """The rotation's gain v·∇U − v·P(x−c) is v·g, which the bounces take away."""
    return _invariance(_boomerang(), 1, None)


@boomerang_invariance.control("a standard normal velocity, whatever P is")
def _(ctx: Context) -> Evidence:
    return _invariance(_boomerang(), 1, 1)


# Without refreshment.


def _wedge(curvatures: Any) -> Evidence:
    process = BouncyParticle(quadratic(curvatures), 0.0)
    symbolic = symbols_like(process)
    symbolic = eqx.tree_at(
        lambda p: p.objective.matrix, symbolic, process_matrix(process)
    )
    x, v = symbol_vector("x", SIZE), symbol_vector("v", SIZE)
    h = symbol_vector("h", 1)

    def change(process, x, v, h):
        y = LangevinState(x, v)
        flown = process.exact(0.0, y, h[0])
        bounced = process.jump(0.0, y, 0).sample(None)
        return [
            f(z) - f(y) for z, f in ((flown, wedge), (bounced, wedge), (bounced, speed))
        ]

    traced = exactly(change, symbolic, x, v, h)
    found = np.array([off_zero(e) for e in traced], dtype=object)
    zero = np.zeros(len(found), dtype=object)
    return identical(found, zero, "|x ∧ v| stays")


def process_matrix(process: BouncyParticle) -> Any:
    """The curvatures as exact numbers: a symbol a coordinate would not be isotropic."""
    import sympy

    numbers: Any = process.objective
    return np.array([sympy.nsimplify(a) for a in np.asarray(numbers.matrix)])


def wedge(y: LangevinState) -> Any:
    """|x ∧ v|² = |x|²|v|² − (x·v)²."""
    x, v = y.position, y.velocity
    return jnp.sum(x**2) * jnp.sum(v**2) - jnp.sum(x * v) ** 2


def speed(y: LangevinState) -> Any:
    """|v|²."""
    return jnp.sum(y.velocity**2)


@claim(
    "pdmp.bouncy-not-ergodic",
    title="Without refreshment the bouncy particle never enters |x| < |x ∧ v|/|v| on "
    "an isotropic Gaussian",
    source=BOUNCY,
    statement=r"|x\wedge v|\ \text{and}\ |v|\ \text{are conserved, so}\ "
    r"|x(t)| \ge \frac{|x\wedge v|}{|v|}\ \text{for all}\ t",
    hypotheses=(r"$U = |x|^2/2$", r"$\lambda_r = 0$"),
    grade="proved",
)
def bouncy_not_ergodic(ctx: Context) -> Evidence:
    """By the flow and by the bounce of the process itself, with symbols for (x, v)."""
    return _wedge([1.0, 1.0])


@bouncy_not_ergodic.control("a Gaussian that is not isotropic")
def _(ctx: Context) -> Evidence:
    return _wedge([1.0, 2.0])


@claim(
    "pdmp.bouncy-law",
    title="With refreshment the bouncy particle finds the isotropic Gaussian",
    source=BOUNCY,
    statement=r"|x(t)|^2/2 \sim \mathrm{Exp}(1)\quad\text{in the stationary state}",
    hypotheses=(
        r"$U = |x|^2/2$ in two dimensions",
        r"$\lambda_r > 0$; tested at $\lambda_r = 1$",
        "the law goes on to relax after time 12 as it was seen to before",
    ),
    grade="estimated",
    delta=0.03,
    quick_delta=0.08,
    unit="sup distance of distribution functions",
    parameters={"refreshment": 1.0},
)
def bouncy_law(ctx: Context) -> Evidence:
    """From x = (2, 0) with a normal velocity: states at time 40, exact in law.

    The bias allows for what is left of the start. Measured with 10⁵ paths, the law of
    |x|²/2 is off by 0.124 at time 4, 0.034 at 8 and 0.0085 at 12 (noise 0.002), by a
    factor of 0.7 per unit time; at 0.8 there would be 0.0085 · 0.8²⁸ = 1.6e-5 left.
    """
    from scipy.stats import expon

    bias = 2e-5
    n = decide.law_sample_size(ctx.delta - 2 * bias)
    process = BouncyParticle(quadratic([1.0, 1.0]), ctx.parameters["refreshment"])
    key = int(ctx.rng("key").integers(2**31))
    start = process.start(jnp.array([2.0, 0.0]), key=key, paths=n)
    run = simulate_skeletons(process, start, t1=40.0, key=key + 1, paths=n, events=132)
    x = np.asarray(run.final.position)
    return decide.law(
        "Exp(1)",
        np.sum(x**2, axis=1) / 2,
        expon.cdf,
        delta=ctx.delta,
        bias=bias,
        data={"xlabel": "|x|²/2"},
    )


bouncy_law.control("no refreshment", parameters={"refreshment": 0.0})


# Zig-Zag in one dimension.


MOST_NODES = 32


def _turns(ctx: Context, curvature: float) -> Evidence:
    values = [turn_rate(curvature, nodes) for nodes in (8, 16, MOST_NODES)]
    return ctx.equal(decide.ladder(values), data={"nodes": [8, 16, 32]})


def turn_rate(curvature: float, nodes: int) -> float:
    """One over the mean time between turns, by quadrature of the process's own wait.

    Right after a turn the particle runs inwards from |x| = √κ⁻¹ r with r of density
    r e^{-r²/2}, and waits for an amount e of the integrated rate, e ~ Exp(1): with
    e = s²/2 both are Rayleigh variables, and so is the next |x|.
    """
    process = ZigZag(quadratic([curvature]))
    z, w = np.zeros((2, MOST_NODES))  # one shape, hence one compilation
    z[:nodes], w[:nodes] = np.polynomial.legendre.leggauss(nodes)
    top = 9.0  # the tail weighs e^{-40}
    r, w = top * (z + 1) / 2, top * w / 2
    w = w * r * np.exp(-(r**2) / 2)

    start = jnp.asarray(r / curvature**0.5)
    times = np.asarray(_waits(process, start, jnp.asarray(r**2 / 2)))
    return float(1 / (w @ times @ w))


@eqx.filter_jit
def _waits(process, start, amounts):
    def wait(x, amount):
        y = LangevinState(x[None], -jnp.ones(1))
        return process.bounce_delay(y, amount[None])[0]

    return jax.vmap(jax.vmap(wait, (None, 0)), (0, None))(start, amounts)


@claim(
    "pdmp.zigzag-turns",
    title="On a standard normal law the Zig-Zag process turns at the rate 1/√(2π)",
    source=ZIGZAG,
    statement=r"\mathbb E_\pi (x v)_+ = \frac{1}{\sqrt{2\pi}}",
    hypotheses=(r"$U = x^2/2$", r"$v = \pm1$, no excess turns"),
    relation=float(1 / np.sqrt(2 * np.pi)),
    grade="measured",
    delta=1e-6,
    quick_delta=1e-6,
    unit="turns per unit time",
)
def zigzag_turns(ctx: Context) -> Evidence:
    """One over the mean time between turns, by quadrature of the waits."""
    return _turns(ctx, 1.0)


@zigzag_turns.control("twice the curvature", expected=float(1 / np.sqrt(np.pi)))
def _(ctx: Context) -> Evidence:
    return _turns(ctx, 2.0)


@zigzag_turns.route("paths", grade="estimated")
def _(ctx: Context) -> Evidence:
    """Turns of stationary paths up to time 20, over 20: the mean is exact."""
    process = ZigZag(quadratic([1.0]))

    def sample(seed, n):
        rng = np.random.default_rng(seed)
        signs = 2.0 * rng.integers(0, 2, (n, 1)) - 1
        y = LangevinState(jnp.asarray(rng.standard_normal((n, 1))), jnp.asarray(signs))
        run = simulate_skeletons(process, y, t1=20.0, key=seed, paths=n, events=48)
        return np.asarray(run.rings) / 20.0

    return ctx.mean(sample, delta=0.02)
