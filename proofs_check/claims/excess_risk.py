"""Excess risk at a temperature: of Gibbs laws, and of chains that aim at them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from discretize import (
    NormTaming,
    Polygonal,
    StateRootTaming,
    StationaryLaw,
    TamedEuler,
    Taming,
    TransitionKernel,
)
from flows import Objective, from_sympy
from flows.problems import norm_power, tilted_double_well
from flows.symbolic import exactly, symbol_vector, symbols_like
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.papers import raginsky, theopoula_paper
from sde import GibbsLaw, OverdampedLangevin

HWANG = Source(
    title="Laplace's method revisited: weak convergence of probability measures",
    authors="Chii-Ruey Hwang",
    year=1980,
    location="Annals of Probability 8(6), 1177-1182; the constants are derived here",
)
WELL = tilted_double_well(0.1)
TOLERANCES = (1e-6, 1e-9, 1e-12)


def _scaled(objective: Objective, beta: float) -> decide.Measurement:
    """β (E_π f - min f), by quadrature at decreasing tolerances."""
    values = [
        beta * GibbsLaw(objective, 1 / beta, tolerance=t).mean_excess()
        for t in TOLERANCES
    ]
    return decide.ladder(values, condition=1e4)


# Powers.


@claim(
    "langevin.excess-of-powers",
    title="At every temperature a power loses its temperature over its exponent",
    source=HWANG,
    statement=r"f = \frac{|x|^p}{p}:\qquad \beta\,(E_\pi f - \min f) = \frac np,"
    r"\qquad \pi \propto e^{-\beta f}",
    hypotheses=(r"$p > 0$", r"$\beta > 0$"),
    grade="measured",
    delta=1e-6,
    quick_delta=1e-6,
    parameters={"shift": 0.0},
)
def excess_of_powers(ctx: Context) -> Iterator[Evidence]:
    """For p = 2, 4, 30 and β = 1, 10, 1000, by quadrature in one dimension."""
    shift = float(ctx.parameters["shift"])
    betas = ctx.choose([10.0], [1.0, 10.0, 1000.0])
    for p in (2, 4, 30):
        power = norm_power(1.0, p / 2 - 1)
        for beta in betas:
            yield decide.equal(
                1 / (p + shift),
                _scaled(power, beta),
                delta=ctx.delta,
                quantity=f"p = {p}, β = {beta:g}",
            )


excess_of_powers.control("an exponent larger by one", parameters={"shift": 1.0})


@excess_of_powers.route("integration by parts", grade="proved")
def _(ctx: Context) -> Evidence:
    """⟨x, ∇f⟩ = p f for any p; E_π⟨x, ∇f⟩ = nT is `langevin.stationary-identity`."""
    del ctx
    x = symbol_vector("x", 2, positive=True)
    loss = symbols_like(norm_power(1.0, 1.0, 2))

    def inner(loss, x):
        return (x * loss.gradient(x)).sum()

    value = exactly(lambda loss, x: loss.value(x), loss, x)
    return identical(
        exactly(inner, loss, x), (2 * loss.r + 2) * value, "⟨x, ∇f⟩ = (2r + 2) f"
    )


# A tilted double well: the limit, and how it is not approached.


def _limit(ctx: Context, objective: Objective) -> Evidence:
    """β × excess at β = 1000, 2000, 4000, 8000, extrapolated once in 1/β."""
    betas = [1000.0, 2000.0, 4000.0, 8000.0]
    raw = np.array([_scaled(objective, b).value for b in betas])
    return ctx.equal(
        decide.ladder(2 * raw[1:] - raw[:-1], condition=1e4),
        note=f"β × excess is {raw[0]:.6g} at β = 1000",
        quantity="limit",
    )


@claim(
    "langevin.excess-limit",
    title="Cold Gibbs laws lose half a temperature for each dimension",
    source=HWANG,
    statement=r"\beta\,(E_\pi f - \min f) \to \frac n2,\quad \text{and at } \beta = 10"
    r"\text{ it is above } 0.85:\ \text{not monotone}",
    hypotheses=(r"one global minimiser", r"$\nabla^2 f$ invertible there"),
    relation=0.5,
    grade="measured",
    delta=1e-5,
    quick_delta=1e-5,
    unit="temperatures",
)
def excess_limit(ctx: Context) -> Iterator[Evidence]:
    """The tilted well x⁴/4 - x²/2 + x/10; while the second well counts, more is lost.

    β × excess is 0.333, 0.775, 0.858, 0.631, 0.513 at β = 1, 5, 10, 20, 50.
    """
    yield _limit(ctx, WELL)
    yield decide.lower_bound(
        0.85, _scaled(WELL, 10.0), delta=ctx.delta, quantity="at β = 10"
    )


@excess_limit.control("a minimum of order four: Hessian 0", expected=0.25)
def _(ctx: Context) -> Evidence:
    return _limit(ctx, norm_power(1.0, 1.0))


@excess_limit.control("monotone: below the value at β = 1000")
def _(ctx: Context) -> Evidence:
    return decide.upper_bound(
        _scaled(WELL, 1000.0).value, _scaled(WELL, 10.0), delta=ctx.delta
    )


# The bound for smooth dissipative losses.


def _rippled() -> Objective:
    """x²/2 + 2 cos 2x: |f''| <= 9, and x f' >= x²/2 - 8."""
    import sympy

    x = sympy.Symbol("x", real=True)
    return from_sympy(x**2 / 2 + 2 * sympy.cos(2 * x), [x])


def _bounded(ctx: Context, betas: Sequence[float], logarithm: bool) -> Evidence:
    smooth, m, b, n = 9.0, 0.5, 8.0, 1
    values, bounds = [], []
    for beta in betas:
        values.append(_scaled(_rippled(), beta))
        log = math.log(math.e * smooth / m * (b * beta / n + 1)) if logarithm else 1.0
        bounds.append(n / 2 * log)
    ratios = [v.value / u for v, u in zip(values, bounds, strict=True)]
    k = int(np.argmax(ratios))
    worst = decide.Measurement(ratios[k], bias=values[k].bias / bounds[k])
    note = f"x²/2 + 2 cos 2x; worst of {len(betas)} temperatures at β = {betas[k]:g}"
    return decide.upper_bound(1.0, worst, delta=ctx.delta, note=note)


@claim(
    "langevin.excess-bound",
    title="Excess risk of a Gibbs law: the bound for smooth dissipative losses",
    source=raginsky("the excess risk of the Gibbs law"),
    statement=r"E_\pi f - \min f \le \frac{n}{2\beta}\log\Bigl(\frac{eM}{m}\Bigl("
    r"\frac{b\beta}{n} + 1\Bigr)\Bigr)",
    hypotheses=(
        r"$|\nabla^2 f| \le M$",
        r"$\langle x, \nabla f\rangle \ge m|x|^2 - b$",
    ),
    grade="measured",
    delta=0.0,
    unit="of the bound",
)
def excess_bound(ctx: Context) -> Evidence:
    """M = 9, m = 1/2, b = 8, β from 4 to 4000; exact on quadratics, loose here.

    The bound is the entropy of a Gaussian of second moment (b + n/β)/m less log Z,
    which M bounds from below.
    """
    betas = ctx.choose([4.0, 40.0], [4.0, 10.0, 40.0, 200.0, 4000.0])
    return _bounded(ctx, betas, True)


@excess_bound.control("without the logarithm: n/(2β) alone")
def _(ctx: Context) -> Evidence:
    """Two wells at equal depth; at β = 4 more than half a temperature is lost."""
    return _bounded(ctx, [4.0, 10.0, 40.0], False)


# Chains: some are colder than the law they aim at.


CHAINS: dict[str, Taming] = {
    "TULA": NormTaming(),
    "mTULA": StateRootTaming(2.0),
    "TheoPouLa": Polygonal(0.1),
}
BETA = 20.0


SADDLE = 0.10103125788101


def _stationary(
    taming: Taming, h: float, quantity: Callable[[StationaryLaw], float]
) -> decide.Measurement:
    """A quantity of the chain's stationary law on the tilted well at β = 20."""
    process = OverdampedLangevin(WELL, 1 / BETA)
    scheme, box = TamedEuler(taming), (-2.5, 2.5)
    kernel = TransitionKernel(scheme, process, h, box=box, resolution=4)
    found = kernel.ladder(lambda k: quantity(k.stationary()))
    law = kernel.stationary()
    return decide.ladder(found, condition=1e6, bias=law.rounding + 10 * law.leak)


def _colder(ctx: Context, name: str, h: float) -> Evidence:
    law = GibbsLaw(WELL, 1 / BETA)

    def excess(x):
        return x**4 / 4 - x**2 / 2 + 0.1 * x - law.minimum

    found = _stationary(CHAINS[name], h, lambda p: p.expect(excess))
    return _against(ctx, found, law.mean_excess(), f"excess, {name}, h = {h:g}")


def _fewer(ctx: Context, name: str, h: float) -> Evidence:
    """The mass of the wrong well, right of the saddle."""
    gibbs = 1.0 - float(GibbsLaw(WELL, 1 / BETA).cdf(SADDLE))
    found = _stationary(CHAINS[name], h, lambda p: p.probability(SADDLE))
    return _against(ctx, found, gibbs, f"wrong well, {name}, h = {h:g}")


def _against(ctx, found: decide.Measurement, gibbs: float, name: str) -> Evidence:
    return decide.upper_bound(
        1.0,
        decide.Measurement(
            found.value / gibbs, bias=found.bias / gibbs, obstacle=found.obstacle
        ),
        delta=ctx.delta,
        quantity=name,
        note=f"{found.value:.5f}, the Gibbs law {gibbs:.5f}",
    )


@claim(
    "langevin.colder-than-gibbs",
    title="TheoPouLa in equilibrium is colder than the Gibbs law it aims at",
    source=theopoula_paper("the boosting factor; the comparison is computed here"),
    statement=r"E_{\pi_h} f - \min f < E_\pi f - \min f,\qquad \varepsilon = 0.1,"
    r" \beta = 20,\ h = 0.1,\ 0.02,\ 0.004",
    hypotheses=(r"tilted double well", r"in equilibrium: nothing of the time it takes"),
    grade="measured",
    delta=0.0,
    unit="of the Gibbs law's",
)
def colder_than_gibbs(ctx: Context) -> Iterator[Evidence]:
    """Boosting steepens the floor of a well: a biased sampler, a better optimiser."""
    for h in ctx.choose([0.1], [0.1, 0.02, 0.004]):
        yield _colder(ctx, "TheoPouLa", h)
        if ctx.full:
            yield _fewer(ctx, "TheoPouLa", h)


@colder_than_gibbs.control("TULA: taming without boosting")
def _(ctx: Context) -> Evidence:
    return _colder(ctx, "TULA", 0.1)


@colder_than_gibbs.control("mTULA: taming without boosting")
def _(ctx: Context) -> Evidence:
    return _colder(ctx, "mTULA", 0.1)
