"""Order and energy of schemes for the damped flow."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import sympy

from discretize import AOBOA, Euler, MomentumEuler
from flows import DampedFlow, PhaseState, from_sympy, iterate
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.momentum_steps import positive, quadratic_step

HAIRER = Source(
    title="Geometric Numerical Integration",
    authors="Ernst Hairer, Christian Lubich and Gerhard Wanner",
    year=2006,
    location="symplectic Euler and splittings; the statements are derived here",
)
MASS, FRICTION, TIME = 0.7, 0.3, 4.0
FIRST = {
    "implicit friction": MomentumEuler("implicit"),
    "explicit friction": MomentumEuler("explicit"),
    "exponential friction": MomentumEuler("exponential"),
    "explicit Euler": Euler(),
}


def _loss() -> Any:
    """The well f = ln cosh x + x²/4."""
    x = sympy.Symbol("x")
    return from_sympy(sympy.log(sympy.cosh(x)) + x**2 / 4, [x])


def _start() -> PhaseState:
    return PhaseState(jnp.array([2.0]), jnp.array([0.0]))


def _reference() -> tuple[float, float]:
    """The x(4) of m x'' + αx' + tanh x + x/2 = 0 and its uncertainty, by DOP853."""
    from scipy.integrate import solve_ivp

    def field(t, z):
        x, v = z
        return [v, -(FRICTION * v + np.tanh(x) + x / 2) / MASS]

    looser, tighter = (
        solve_ivp(field, (0, TIME), [2.0, 0.0], method="DOP853", rtol=tol, atol=tol)
        for tol in (1e-11, 1e-13)
    )
    found = tighter.y[0, -1]
    return float(found), float(abs(found - looser.y[0, -1]))


def _errors(
    ctx: Context, scheme: Any, friction: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """|x - x_exact| at time 4, against another solver of the equation itself."""
    steps = 50 * 2 ** np.arange(6)
    exact, floor = ctx.compiled("reference", _reference)
    flow, ends = DampedFlow(_loss(), MASS, friction), []
    for n in steps:
        run = iterate(scheme, flow, _start(), h=TIME / n, steps=int(n), save="last")
        ends.append(float(run.states.position[-1, 0]))
    return TIME / steps, np.abs(np.array(ends) - exact), floor


@claim(
    "pdmp.momentum-order-1",
    title="Euler's methods for the damped flow are of order 1",
    source=HAIRER,
    statement=r"|x_{T/h} - x(T)| = O(h)\quad\text{for implicit, explicit and"
    r" exponential friction, and explicit Euler}",
    hypotheses=("f smooth with a Lipschitz gradient",),
    grade="measured",
    delta=0.5,
    unit="order",
)
def momentum_order_1(ctx: Context) -> Evidence:
    """The well above with m = 0.7, α = 0.3, x₀ = 2, T = 4, implicit friction."""
    return _order(ctx, FIRST["implicit friction"], 1)


def _order(ctx: Context, scheme: Any, p: int, friction: float = FRICTION) -> Evidence:
    h, errors, floor = _errors(ctx, scheme, friction)
    return decide.order(p, h, errors, floor=floor)


@momentum_order_1.control("the symmetric splitting: order 2", expected=2.0)
def _(ctx: Context) -> Evidence:
    return _order(ctx, AOBOA, 1)


for _name in ("explicit friction", "exponential friction", "explicit Euler"):

    @momentum_order_1.route(_name, grade="measured")
    def _(ctx: Context, name: str = _name) -> Evidence:
        """The same with another scheme."""
        return _order(ctx, FIRST[name], 1)


@claim(
    "pdmp.momentum-order-2",
    title="Drift, friction, kick, friction, drift: the symmetric splitting has order 2",
    source=HAIRER,
    statement=r"e^{\frac h2 A}e^{\frac h2 O}e^{hB}e^{\frac h2 O}e^{\frac h2 A}:\quad"
    r" |x_{T/h} - x(T)| = O(h^2)",
    hypotheses=("f smooth with a Lipschitz gradient",),
    grade="measured",
    delta=0.5,
    unit="order",
)
def momentum_order_2(ctx: Context) -> Evidence:
    """As for order 1."""
    return _order(ctx, AOBOA, 2)


@momentum_order_2.control("implicit friction: order 1", expected=1.0)
def _(ctx: Context) -> Evidence:
    return _order(ctx, FIRST["implicit friction"], 2)


@momentum_order_2.control("twice the friction in the splitting", expected=0.0)
def _(ctx: Context) -> Evidence:
    """The error tends to a constant: the reference knows the equation's friction."""
    return _order(ctx, AOBOA, 2, 2 * FRICTION)


# Energy without friction.


def _energies(scheme: Any, shadow: Any) -> tuple[Any, Any]:
    """E and its value after a step, α = 0, E = m v²/2 + κ x²/2 + shadow hκxv/2."""
    k, m, h = positive("kappa m h")
    z = sympy.Matrix(sympy.symbols("x v", real=True))
    form = sympy.Matrix([[k / 2, shadow * h * k / 4], [shadow * h * k / 4, m / 2]])
    step = quadratic_step(scheme, k, m, sympy.Integer(0), h)
    new = step * z
    return (z.T * form * z)[0], (new.T * form * new)[0]


@claim(
    "pdmp.euler-energy",
    title="Without friction explicit Euler feeds in energy at every step",
    source=HAIRER,
    statement=r"E_{k+1} = \bigl(1 + \tfrac{h^2\kappa}{m}\bigr) E_k,\quad"
    r" E = \tfrac m2 v^2 + \tfrac\kappa2 x^2,\ \alpha = 0",
    hypotheses=(r"$f = \kappa x^2/2$",),
    grade="proved",
)
def euler_energy(ctx: Context) -> Evidence:
    """The traced step, with symbols."""
    return _growing(Euler())


def _growing(scheme: Any) -> Evidence:
    k, m, h = positive("kappa m h")
    before, after = _energies(scheme, 0)
    return identical(after, (1 + h**2 * k / m) * before, "E after a step")


@euler_energy.control("semi-implicit Euler")
def _(ctx: Context) -> Evidence:
    return _growing(MomentumEuler())


@claim(
    "pdmp.shadow-energy",
    title="Semi-implicit Euler conserves an energy with the term -hκxv/2",
    source=HAIRER,
    statement=r"\tfrac m2 v_k^2 + \tfrac\kappa2 x_k^2 - \tfrac h2\kappa x_k v_k"
    r"\ \text{is constant},\quad \alpha = 0",
    hypotheses=(r"$f = \kappa x^2/2$",),
    grade="proved",
    delta=0.5,
    unit="order",
)
def shadow_energy(ctx: Context) -> Evidence:
    """The traced step, with symbols."""
    return _conserved(-1)


def _conserved(sign: int) -> Evidence:
    before, after = _energies(MomentumEuler(), sign)
    return identical(after, before, "the shadow energy")


@shadow_energy.control("the sign +")
def _(ctx: Context) -> Evidence:
    return _conserved(1)


def _wander(ctx: Context, scheme: Any) -> tuple[np.ndarray, np.ndarray]:
    """The largest |E_k - E_0| over T = 20 on ln cosh x + x²/4, without friction."""
    loss = _loss()
    steps = 200 * 2 ** np.arange(5)
    worst = []
    for n in steps:
        flow = DampedFlow(loss, MASS, 0.0)
        run = iterate(scheme, flow, _start(), h=20.0 / n, steps=int(n))
        x, v = (np.asarray(a)[:, 0] for a in run.states)
        energy = MASS * v**2 / 2 + np.log(np.cosh(x)) + x**2 / 4
        worst.append(np.max(np.abs(energy - energy[0])))
    return 20.0 / steps, np.array(worst)


for _name, _scheme, _p in (
    ("energy of semi-implicit Euler", MomentumEuler(), 1),
    ("energy of the symmetric splitting", AOBOA, 2),
):

    @shadow_energy.route(_name, grade="measured")
    def _(ctx: Context, scheme: Any = _scheme, p: int = _p) -> Evidence:
        """The energy's largest deviation on ln cosh x + x²/4 is O(h), or O(h²)."""
        h, worst = _wander(ctx, scheme)
        return decide.order(p, h, worst, floor=1e-13)
