"""Mirror flows: the replicator equation, its energies, exponentiated gradient."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import sympy

from discretize import exponentiated_gradient
from discretize.optimiser import Fixed, OptaxStep, Training
from flows import DualMirrorFlow, Entropy, MirrorFlow, SimplexEntropy, iterate
from flows.problems import taylor_polynomial
from flows.symbolic import exactly, symbol_vector, symbols_like
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.claims.variant_flows import MORE
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical

KIVINEN = Source(
    title="Exponentiated gradient versus gradient descent for linear predictors",
    authors="Jyrki Kivinen and Manfred K. Warmuth",
    year=1997,
    location="the algorithm",
)
ALVAREZ = Source(
    title="Hessian Riemannian gradient flows in convex programming",
    authors="Felipe Alvarez, Jérôme Bolte and Olivier Brahic",
    year=2004,
    location="the flow, its Bregman divergence as a Lyapunov function",
)


def _costs(n: int = 3):
    """A linear cost with symbols g_i, at a generic point: any loss, as to ∇f."""
    return symbols_like(taylor_polynomial(n, 1))


@claim(
    "gradient_flow.replicator",
    title="The replicator equation is the entropy's mirror flow on the simplex",
    source=ALVAREZ,
    statement=r"\tfrac{d}{dt}\nabla\Phi(x) = -\nabla f(x),\ \Phi=\sum_i x_i\log x_i,"
    r"\ \sum_i x_i = 1:\quad \dot x_i = -x_i(\partial_i f - \langle x,\nabla f\rangle)",
    hypotheses=(r"$x$ in the open simplex",),
    grade="proved",
)
def replicator(ctx: Context) -> Evidence:
    """L softmax(z) of z' = -∇f against the primal field, in three variables."""
    return _replicator(SimplexEntropy())


def _replicator(primal) -> Evidence:
    f, z = _costs(), symbol_vector("z", 3)

    def difference(f, z):
        dual = DualMirrorFlow(f, SimplexEntropy())
        x = dual.position(z)
        rates = [
            dual.generator(lambda t, z, i=i: dual.position(z)[i])(0.0, z)
            for i in range(3)
        ]
        return jnp.stack(rates) - MirrorFlow(f, primal).vector_field(0.0, x)

    # e^{z_i} = w_i > 0 leaves a rational identity.
    w = sympy.symbols("w_0:3", positive=True)
    table = dict(zip(z, map(sympy.log, w), strict=True))
    found = np.array(
        [sympy.simplify(e.subs(table)) for e in exactly(difference, f, z)],
        dtype=object,
    )
    zero = np.zeros(3, dtype=int).astype(object)
    return identical(found, zero, "L softmax(z) = x'")


@replicator.control("the field of the unnormalised entropy")
def _(ctx: Context) -> Evidence:
    return _replicator(Entropy())


@claim(
    "gradient_flow.energy-replicator",
    title="The replicator flow spends the variance of ∇f under x",
    source=ALVAREZ,
    statement=r"\tfrac{d}{dt} f = -\sum_i x_i"
    r"(\partial_i f - \langle x,\nabla f\rangle)^2",
    hypotheses=(r"$\sum_i x_i = 1$",),
    grade="proved",
)
def variance(ctx: Context) -> Evidence:
    """Three variables, x and ∇f symbols."""
    return _variance(1)


def _simplex_point(name: str = "x"):
    """(x_0, x_1, x_2) = (1, a, b)/(1 + a + b) with symbols a, b > 0: no constraint."""
    a, b = sympy.symbols(f"{name}_a {name}_b", positive=True)
    total = 1 + a + b
    return np.array([1 / total, a / total, b / total], dtype=object)


def _variance(factor) -> Evidence:
    f, x = _costs(), _simplex_point()

    def rate(f, x):
        flow = MirrorFlow(f, SimplexEntropy())
        return flow.generator(lambda t, x: f.value(x))(0.0, x)

    mean = sum(x * f.coefficients)
    spent = sum(x * (f.coefficients - mean) ** 2)
    return identical(exactly(rate, f, x), -factor * spent, "L f = -Var")


@variance.control("coefficient 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    return _variance(MORE)


@claim(
    "gradient_flow.mirror-divergence",
    title="Bregman's divergence to any p falls by ∇f·(x - p)",
    source=ALVAREZ,
    statement=r"\tfrac{d}{dt} D_\Phi(p, x) = -\nabla f(x)\cdot(x - p)"
    r"\quad(\le f(p) - f(x) \text{ for convex } f)",
    hypotheses=(r"$p$, $x$ in the open simplex, or in the positive orthant",),
    grade="proved",
)
def divergence(ctx: Context):
    """The simplex (replicator) and the orthant (unnormalised entropy)."""
    yield _divergence(SimplexEntropy(), _simplex_point("p"), _simplex_point())
    orthant = (symbol_vector(name, 2, positive=True) for name in ("p", "x"))
    yield _divergence(Entropy(), *orthant)


def _divergence(potential, p, x) -> Evidence:
    f = _costs(len(x))

    def rate(f, p, x):
        flow = MirrorFlow(f, potential)
        return flow.generator(lambda t, x: potential.divergence(p, x))(0.0, x)

    claimed = -sum(f.coefficients * (x - p))
    return identical(exactly(rate, f, p, x), claimed, "L D(p, x)")


@divergence.control("a p off the simplex")
def _(ctx: Context) -> Evidence:
    return _divergence(SimplexEntropy(), 2 * _simplex_point("p"), _simplex_point())


@claim(
    "gradient_flow.exponentiated-gradient-linear",
    title="For a linear cost exponentiated gradient is mirror flow, at any step",
    source=KIVINEN,
    statement=r"f = c\cdot x:\quad x_{k} = x(k\eta) ="
    r" \frac{x_0 e^{-k\eta c}}{\sum_j x_{0,j}e^{-k\eta c_j}}"
    r"\quad\text{for every } \eta > 0",
    hypotheses=(r"$\nabla f$ constant",),
    grade="proved",
    delta=1e-3,
)
def linear_cost(ctx: Context) -> Evidence:
    """Two steps of the optimiser, traced, against the closed form of the flow."""
    return _linear_cost(_two_optimiser_steps)


def _two_optimiser_steps(eta, x, f):
    scheme = OptaxStep(Fixed(exponentiated_gradient(eta)), None)
    model, carry = Training(f), None
    carry = scheme.init(model, 0.0, x)
    for _ in range(2):
        x, carry, _ = scheme.step(model, 0.0, x, eta, None, carry)
    return x


def _two_primal_steps(eta, x, f):
    flow = MirrorFlow(f, SimplexEntropy())
    for _ in range(2):
        x = x + eta * flow.vector_field(0.0, x)
    return x


def _linear_cost(two_steps) -> Evidence:
    f, x, eta = _costs(), _simplex_point(), sympy.Symbol("eta", positive=True)
    grown = x * np.array([sympy.exp(-2 * eta * c) for c in f.coefficients])
    found = exactly(two_steps, eta, x, f)
    return identical(found, grown / grown.sum(), "x_2 = x(2η)")


@linear_cost.control("Euler in the primal variable")
def _(ctx: Context) -> Evidence:
    return _linear_cost(_two_primal_steps)


def _many_steps(ctx: Context, rate: float, factor: float = 1.0) -> Evidence:
    """Fifty steps in eight variables against the softmax of scipy."""
    from scipy.special import softmax

    rng = ctx.rng("cost")
    c, x0 = rng.standard_normal(8), softmax(rng.standard_normal(8))
    f = taylor_polynomial(8, 1, c)
    scheme = OptaxStep(exponentiated_gradient, jnp.asarray(rate))

    def run(start, scheme=scheme):
        found = iterate(scheme, Training(f), jnp.asarray(start), h=1.0, steps=50)
        return np.asarray(found.positions)

    exact = softmax(np.log(x0) - factor * rate * np.arange(51)[:, None] * c, axis=-1)
    found = run(x0)
    changes = [
        decide.relative_distance(run(start / start.sum()), found).max()
        for start in x0 * (1 + 2e-16 * rng.choice([-1.0, 1.0], (8, 8)))
    ]
    moved = run(x0, OptaxStep(exponentiated_gradient, jnp.asarray(1.001 * rate)))
    return decide.exact(
        decide.relative_distance(found, exact),
        rounding=decide.rounding_allowance(changes),
        moved=float(decide.relative_distance(found, moved).max()),
        delta=1e-3,
        note=f"η = {rate:g}",
    )


@linear_cost.route("fifty steps in eight variables", grade="measured")
def _(ctx: Context) -> Evidence:
    return _many_steps(ctx, 3.0)


@linear_cost.control("a closed form with the clock 1/1000 too fast")
def _(ctx: Context) -> Evidence:
    return _many_steps(ctx, 3.0, 1.001)
