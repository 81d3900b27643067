"""The effective potential of tamed Langevin samplers, proved from the steps' traces."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import jax.numpy as jnp
import numpy as np

from discretize import (
    CoordinateTaming,
    Euler,
    NormTaming,
    Polygonal,
    StateRootTaming,
    StateTaming,
    TamedEuler,
    effective_potential,
    step_operators,
)
from flows import Scheme
from flows.problems import taylor_polynomial
from flows.symbolic import equal_symbolically, exactly, symbol_vector, symbols_like
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from sde import OverdampedLangevin

TALAY = Source(
    title="Expansion of the global error for numerical schemes solving stochastic "
    "differential equations",
    authors="Denis Talay and Luciano Tubaro",
    year=1990,
    location="Stochastic Analysis and Applications 8(4), 483-509: the expansion of the "
    "invariant law; the potentials of the tamed schemes are derived here",
)
HALF = Fraction(1, 2)


def _model() -> OverdampedLangevin:
    """Langevin dynamics of a quartic loss; its coefficients and T are symbols."""
    return symbols_like(OverdampedLangevin(taylor_polynomial(1, 4), 1.0))


def _samplers() -> dict[str, tuple[Scheme, Fraction]]:
    return {
        "ULA": (Euler(), Fraction(1)),
        "TULA": (TamedEuler(NormTaming()), Fraction(1)),
        "mTULA, r = 2": (TamedEuler(StateRootTaming(2.0)), Fraction(1)),
        "TUSLA, r = 1": (TamedEuler(StateTaming(1.0)), HALF),
        "TheoPouLa": (TamedEuler(symbols_like(Polygonal())), HALF),
        "TheoPouLa without boosting": (TamedEuler(CoordinateTaming(0.5)), HALF),
    }


def _closed_form(
    name: str, model: Any, eps: Any, *, euler: Any = 1, taming: Any = 1
) -> Any:
    """Φ'(x) as in the statement; its two parts may be multiplied (controls)."""
    import sympy as sp

    x = symbol_vector("x", 1)

    def parts(model, x):
        loss = model.objective
        gradient, one = loss.gradient(x)[0], jnp.ones(1)
        return gradient, model.temperature * loss.hvp(x, one)[0] / 2 - gradient**2 / 4

    g, phi = exactly(parts, model, x)
    size, slope = sp.Abs(g), sp.diff(phi, x[0])
    tamed = {
        "ULA": 0,
        "TULA": -g * size,
        "mTULA, r = 2": -g * x[0] ** 4 / 2,
        "TUSLA, r = 1": -g * x[0] ** 2,
        "TheoPouLa": g / (eps + size) - g * size,
        "TheoPouLa without boosting": -g * size,
    }[name]
    first = _samplers()[name][1] == 1
    return (euler * slope if first else 0) + taming * tamed


def _rational(power: Fraction) -> Any:
    import sympy as sp

    return sp.Rational(power.numerator, power.denominator)


def _checked(names, **factors: Any) -> Any:
    """One piece of evidence a sampler: the power of h, and Φ'."""
    model, samplers = _model(), _samplers()
    for name in names:
        scheme, power = samplers[name]
        found = effective_potential(scheme, model)
        eps = getattr(getattr(scheme, "taming", None), "eps", 0)
        left = np.array([_rational(found.power), found.slope], dtype=object)
        closed = _closed_form(name, model, eps, **factors)
        right = np.array([_rational(power), closed], dtype=object)
        decision = equal_symbolically(left, right)
        obstacle = "" if found.exact else "the trace holds inexact floats"
        note = f"h^{found.power}" if decision.status == "proved" else ""
        yield decide.identity(
            decision, name=f"{name}: p and Φ'", obstacle=obstacle, note=note
        )


@claim(
    "langevin.effective-potential",
    title="A step's stationary law is that of an effective potential, read off its "
    "trace",
    source=TALAY,
    statement=r"\pi_h \propto e^{-(u + h^p\Phi)/T}(1 + o(h^p)):\quad"
    r" p = 1,\ \Phi = \tfrac T2 u'' - \tfrac14 u'^2 + \Psi,\quad"
    r" \Psi' = 0\ (\mathrm{ULA}),\ -u'|u'|\ (\mathrm{TULA}),"
    r"\ -\tfrac12u'|x|^{2r}\ (\mathrm{mTULA});\qquad"
    r" p = \tfrac12,\ \Phi' = -u'|x|^{2r}\ (\mathrm{TUSLA}),"
    r"\ \frac{u'}{\varepsilon+|u'|} - u'|u'|\ (\mathrm{TheoPouLa})",
    hypotheses=(
        "one dimension",
        "$u$ smooth: a quartic with symbols for coefficients, at a general point; only "
        "$u'$, $u''$, $u'''$ can enter",
    ),
    grade="proved",
)
def effective_potentials(ctx: Context):
    """The power and Φ' from each step's trace, expanded in √h, against closed forms."""
    quick = ("ULA", "TULA", "TUSLA, r = 1", "TheoPouLa")
    yield from _checked(ctx.choose(quick, tuple(_samplers())))


@effective_potentials.control("the taming part with the other sign")
def _(ctx: Context):
    yield from _checked(("TULA",), taming=-1)


@effective_potentials.control("Euler's part times 1 + 1/1000")
def _(ctx: Context):
    import sympy as sp

    yield from _checked(("ULA",), euler=1 + sp.Rational(1, 1000))


@effective_potentials.control("Euler's part in TUSLA's potential too, at p = 1/2")
def _(ctx: Context):
    model = _model()
    found = effective_potential(TamedEuler(StateTaming(1.0)), model)
    wrong = _closed_form("TUSLA, r = 1", model, 0) + _closed_form("ULA", model, 0)
    yield identical(found.slope, wrong, "Φ'")


def _invariance(scheme: Scheme, sign: int = 1) -> Evidence:
    """L*(π Φ)/T = A*π: the model's own Fokker-Planck code against the step's trace."""
    import sympy as sp

    model, y = _model(), symbol_vector("x", 1)
    found = effective_potential(scheme, model)
    series = sp.Poly(found.potential(), found.x).all_coeffs()
    coefficients = sign * np.array(series, dtype=object)

    def left(model, y, coefficients):
        def weight(y):
            return jnp.exp(-model.objective.value(y) / model.temperature)

        def density(t, y):
            return weight(y) * jnp.polyval(coefficients, y[0])

        return model.adjoint(density)(0.0, y) / weight(y) / model.temperature

    value = exactly(lambda model, y: model.objective.value(y), model, y)
    density = sp.exp(-value / model.temperature)
    power = found.power + 1
    operator = step_operators(scheme, model, upto=power)[power]
    transposed = sum(
        (-1) ** j * sp.diff(a * density, found.x, j) for j, a in enumerate(operator, 1)
    )
    return identical(
        exactly(left, model, y, coefficients),
        transposed / density,
        f"L*(πΦ)/T = A*π at h^{power}",
    )


@effective_potentials.route("Fokker-Planck", grade="proved")
def _(ctx: Context):
    """The first-order stationary equation, with derivatives instead of integrals."""
    for scheme in (
        Euler(),
        TamedEuler(StateTaming(1.0)),
        TamedEuler(StateRootTaming(2.0)),
    ):
        yield _invariance(scheme)


@effective_potentials.control("Φ with the other sign in the stationary equation")
def _(ctx: Context) -> Evidence:
    return _invariance(TamedEuler(StateTaming(1.0)), -1)
