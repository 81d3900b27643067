"""Minibatch noise: what optimisers, switching processes and grids leave at the end."""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy

from discretize import (
    Euler,
    GridSwitch,
    MomentumEuler,
    switched_law,
)
from flows import quadratic_sum
from flows.symbolic import exactly
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.momentum_steps import noisy_law, positive, quadratic_step
from proofs_check.papers import losing_momentum, stochastic_gradient_process
from proofs_check.switching_quadratics import (
    exact_entries,
    example_state,
    symbolic_process,
    total,
)
from sde import (
    MarkovIndex,
    StochasticGradientMomentumProcess,
    StochasticGradientProcess,
    UniformIndex,
    stationary_moments,
)

LATZ = stochastic_gradient_process("the process; the comparison is derived here")
LOSING = losing_momentum("the process with momentum; the comparison is derived here")
CLASSICAL = Source(
    title="Some methods of speeding up the convergence of iteration methods",
    authors="Boris T. Polyak",
    year=1964,
    location="heavy ball; the stationary variance is elementary, derived here",
)
CENTRES = np.array([[-1.0], [0.0], [1.5], [2.5]])
SPREAD = float(np.var(CENTRES))
KAPPA, MASS, ALPHA, GAMMA = 1.3, 0.7, 0.9, 2.0
RATE = GAMMA * 4 / 3


def _contraction(scheme: Any) -> Any:
    """The factor of x - a over a step of time η without momentum, κ and η symbols."""
    kappa, eta = positive("kappa eta")
    process = symbolic_process(2, momentum=False, centres=[[0], [0]], friction=1)
    process = _with(process, curvatures=kappa)
    state = example_state(process)._replace(position=np.array([sympy.Symbol("x")]))
    moved = exactly(lambda p, y, h: scheme.moved(p, 0.0, y, h), process, state, eta)
    return sympy.Matrix([[sympy.diff(moved.position[0], state.position[0])]])


def _with(process: Any, **values: Any) -> Any:
    import equinox as eqx

    places = {"curvatures": lambda p: p.objective.curvatures}
    for name, value in values.items():
        process = eqx.tree_at(places[name], process, exact_entries(value))
    return process


# Stochastic gradient descent beside the switching process.


@claim(
    "pdmp.minibatch-clock",
    title="Minibatches of step η have the noise of switching of relaxation rate 2/η",
    source=LATZ,
    statement=r"\frac{\mathrm{Var}_{\mathrm{SGD}}}{s^2} = \frac{\eta\kappa}{2-\eta"
    r"\kappa},\quad \frac{\mathrm{Var}_{\mathrm{exact}}}{s^2} = \tanh\frac{\eta\kappa}"
    r"{2},\quad \frac{\mathrm{Var}_{\mathrm{switching}}}{s^2} = \frac{\eta\kappa}"
    r"{2+\eta\kappa}\ \ \text{at}\ r = 2/\eta",
    hypotheses=(r"$f_i = \kappa(x-a_i)^2/2$, $s^2$ the variance of the $a_i$",),
    grade="proved",
)
def minibatch_clock(ctx: Context) -> Evidence:
    """Traced steps with independent labels; the process by its moment equations."""
    return _clock(2)


def _clock(multiple: Any) -> Evidence:
    kappa, eta = positive("kappa eta")
    descent = noisy_law(_contraction(GridSwitch(Euler())), sympy.Integer(0)).position
    rho = sympy.Symbol("rho", positive=True)
    # the field of rational functions takes the exponential as a symbol
    relaxed = _contraction(GridSwitch())[0, 0]
    waits = noisy_law(sympy.Matrix([[rho]]), sympy.Integer(0)).position
    waits = waits.subs(rho, relaxed)
    process = symbolic_process(
        2, momentum=False, centres=[[1], [-1]], rate=multiple / (2 * eta), friction=1
    )
    process = _with(process, curvatures=kappa)
    switching = total(stationary_moments(process, 2, y=example_state(process)), 2)
    found = np.array([descent, waits, switching])
    z = eta * kappa
    claimed = np.array([z / (2 - z), sympy.tanh(z / 2), z / (2 + z)])
    return identical(found, claimed, "the variances")


@minibatch_clock.control("the rate 1/η, one ring a step")
def _(ctx: Context) -> Evidence:
    return _clock(1)


@minibatch_clock.route("four labels", grade="measured")
def _(ctx: Context) -> Evidence:
    """The chains themselves, label by label, against the three numbers."""
    eta, kappa = 0.05, 1.0
    z = eta * kappa
    process = StochasticGradientProcess(
        quadratic_sum(CENTRES, kappa), UniformIndex(4, 1 / eta, "fresh_draw")
    )
    found = [
        switched_law(GridSwitch(inner, "fresh"), process, eta).covariance[0, 0]
        for inner in (Euler(), None)
    ]
    gaps = np.array(found) / SPREAD - np.array([z / (2 - z), np.tanh(z / 2)])
    moved = abs(1.01 * z / (2 - 1.01 * z) - z / (2 - z)) / z
    return decide.exact(np.abs(gaps) / z, rounding=1e-12, moved=moved, delta=0.01)


# Waits of other laws.


@claim(
    "pdmp.erlang-waits",
    title="Waits of Erlang's law fill the gap between fixed and exponential ones",
    source=LATZ,
    statement=r"\frac{\mathrm{Var}}{s^2} = \frac{1 - 2L(\kappa) + L(2\kappa)}"
    r"{1 - L(2\kappa)},\quad L(p) = (1 + p\eta/q)^{-q}\quad\text{at the rings}",
    hypotheses=(
        "a fresh draw of one of two losses at each ring",
        r"waits of mean $\eta$ in q stages, $q = 1, 2$",
    ),
    grade="proved",
)
def erlang_waits(ctx: Context) -> Evidence:
    """Two losses in two stages each; the state at a ring is that of the last stage."""
    return _waits(2, 1)


def _waits(stages: int, kept: int) -> Evidence:
    """Label (i, stage) as one label of a chain; a ring is the exit of the last stage.

    With a constant exit rate, states at exits have the law of the stage's own time.
    """
    import equinox as eqx

    kappa, eta = positive("kappa eta")
    q, n = stages, 2 * stages
    centres = np.repeat([[1.0], [-1.0]], q, axis=0)
    matrix = np.full((n, n), sympy.Integer(0), dtype=object)
    for i in range(n):
        matrix[i, i] = -q / eta
        if (i + 1) % q:
            matrix[i, i + 1] = q / eta
            continue
        for first in (0, q):  # a fresh draw of the loss, in its first stage
            matrix[i, first] = matrix[i, first] + q / eta / 2
    stand_in = np.where(matrix == 0, 0.0, 1.0) - np.eye(n)
    stand_in[np.diag_indices(n)] = -stand_in.sum(axis=1)
    process = StochasticGradientProcess(
        quadratic_sum(centres, 1.0), MarkovIndex(stand_in)
    )
    process = eqx.tree_at(
        lambda p: (
            p.objective.curvatures,
            p.objective.centres,
            p.index.matrix,
            p.index.speed,
            p.friction,
        ),
        process,
        (
            kappa,
            exact_entries(centres),
            matrix,
            sympy.Integer(1),
            sympy.Integer(1),
        ),
    )
    moments = stationary_moments(process, 2, y=example_state(process))
    last = {q - 1, 2 * q - 1} if kept else {0, q}
    found = sum(
        v for k, v in moments.items() if k.exponents == (2,) and k.label in last
    )
    weight = sympy.Rational(2, n)

    def mean(p):
        return (1 + p * eta / q) ** (-q)

    claimed = (1 - 2 * mean(kappa) + mean(2 * kappa)) / (1 - mean(2 * kappa))
    return identical(found / weight, claimed, f"Var at the rings, q = {q}")


@erlang_waits.control("all of the time in place of the rings")
def _(ctx: Context) -> Evidence:
    return _waits(2, 0)


@erlang_waits.route("exponential waits", grade="proved")
def _(ctx: Context) -> Evidence:
    """One stage: rings see what time sees."""
    return _waits(1, 1)


# Heavy ball.


def _heavy_ball() -> tuple[Any, Any]:
    """The traced step in terms of η and β = 1/(1 + r), and the symbols."""
    eta, ratio, kappa = positive("eta r kappa")
    beta = 1 / (1 + ratio)
    h, mass = eta / (1 - beta), eta * beta / (1 - beta) ** 2
    return quadratic_step(MomentumEuler(), kappa, mass, 1, h), (eta, beta, kappa)


def correlated_variance(z: Any, beta: Any, rho: Any) -> Any:
    """Var/s² of heavy ball, z = ηκ, with an index of correlation ρ from step to step.

    Args:
        z: ηκ.
        beta: momentum.
        rho: e^{-rh}.
    """
    top = 1 + rho - z * rho + beta * (1 - rho**2) + beta * z * rho
    top = z * (top - beta**2 * rho * (1 + rho))
    bottom = (1 - beta) * (2 + 2 * beta - z)
    return top / (bottom * (1 - rho + z * rho - beta * rho * (1 - rho)))


@claim(
    "pdmp.heavy-ball-variance",
    title="Heavy ball with minibatches: its stationary variance",
    source=CLASSICAL,
    statement=r"\frac{\mathrm{Var}\,x}{s^2} = \frac{\eta\kappa(1+\beta)}{(1-\beta)"
    r"(2(1+\beta)-\eta\kappa)}\quad\text{for independent rows}",
    hypotheses=(r"$f_i = \kappa(x-a_i)^2/2$", r"$\eta\kappa < 2(1+\beta)$"),
    grade="proved",
)
def heavy_ball_variance(ctx: Context) -> Evidence:
    """The Lyapunov equation of the traced step; also with a correlation ρ of rows.

    The general formula is `correlated_variance`; ρ = 0 gives the one claimed.
    """
    return _variance(0)


def _variance(kept: Any) -> Evidence:
    matrix, (eta, beta, kappa) = _heavy_ball()
    z = eta * kappa
    found = noisy_law(matrix, sympy.sympify(kept)).position
    claimed = z * (1 + beta) / ((1 - beta) * (2 * (1 + beta) - z))
    return identical(found, claimed, "Var x/s²")


@heavy_ball_variance.control("rows kept from step to step with the chance 1/10")
def _(ctx: Context) -> Evidence:
    return _variance(sympy.Rational(1, 10))


@heavy_ball_variance.route("correlated rows", grade="proved")
def _(ctx: Context) -> Evidence:
    """With ρ a symbol."""
    matrix, (eta, beta, kappa) = _heavy_ball()
    rho = sympy.Symbol("rho", positive=True)
    found = noisy_law(matrix, rho).position
    claimed = correlated_variance(eta * kappa, beta, rho)
    return identical(found, claimed, "Var x/s²")


# The limit of small steps.


def _biases(scheme: Any, momentum: bool, steps: np.ndarray) -> np.ndarray:
    """|Var/Var_process - 1| of the process with four labels on a grid."""
    losses, index = quadratic_sum(CENTRES, KAPPA), UniformIndex(4, GAMMA)
    if momentum:
        process: Any = StochasticGradientMomentumProcess(losses, index, MASS, ALPHA)
        exact = KAPPA * (ALPHA + MASS * RATE)
        exact = exact / (ALPHA * (KAPPA + ALPHA * RATE + MASS * RATE**2))
    else:
        process = StochasticGradientProcess(losses, index)
        exact = KAPPA / (KAPPA + RATE)
    found = [switched_law(scheme, process, h).covariance[0, 0] for h in steps]
    return np.abs(np.array(found) / (SPREAD * exact) - 1)


@claim(
    "pdmp.heavy-ball-to-process",
    title="Heavy ball with a slowly changing row tends to the process, at order 1",
    source=LOSING,
    statement=r"\mathrm{Var}_h = s^2\frac{\kappa(\alpha+mr)}{\alpha(\kappa+\alpha r"
    r"+mr^2)}\,(1 + O(h)),\quad \rho = e^{-rh},\ \text{implicit friction}",
    hypotheses=(r"$f_i = \kappa(x-a_i)^2/2$",),
    grade="measured",
    delta=0.5,
    unit="order",
)
def heavy_ball_to_process(ctx: Context) -> Evidence:
    """The stationary equations of the chain, label by label, at halved steps."""
    steps = 0.1 * 0.5 ** np.arange(7)
    errors = _biases(GridSwitch(MomentumEuler()), True, steps)
    return decide.order(1, steps, errors, floor=1e-13)


@heavy_ball_to_process.control("the exact flow of each row: order 2", expected=2.0)
def _(ctx: Context) -> Evidence:
    steps = 0.1 * 0.5 ** np.arange(7)
    errors = _biases(GridSwitch(), True, steps)
    return decide.order(1, steps, errors, floor=1e-13)


@claim(
    "pdmp.frozen-index",
    title="A label frozen over steps of length h widens the law by O(h²)",
    source=LATZ,
    statement=r"\frac{\mathrm{Var}_h}{s^2} = \frac{(1-\rho)(1+\rho\rho_I)}{(1+\rho)"
    r"(1-\rho\rho_I)} = \frac{\kappa}{\kappa+r}\Bigl(1 + \tfrac{h^2}{12}(2\kappa r +"
    r" r^2) + O(h^4)\Bigr),\ \ \rho = e^{-\kappa h},\ \rho_I = e^{-rh}",
    hypotheses=(r"$f_i = \kappa(x-a_i)^2/2$, $\alpha = 1$", "exact flow in each step"),
    grade="proved",
    delta=0.5,
    unit="order",
)
def frozen_index(ctx: Context) -> Evidence:
    """The traced exact step, and the expansion of its variance in h."""
    return _frozen(12)


def _frozen(twelve: int) -> Evidence:
    kappa, eta, rate = positive("kappa eta r")
    rho, kept = positive("rho rho_I")
    found = noisy_law(sympy.Matrix([[rho]]), kept).position
    claimed = (1 - rho) * (1 + rho * kept) / ((1 + rho) * (1 - rho * kept))
    relaxed = _contraction(GridSwitch())[0, 0]
    square = 1 + eta**2 * (2 * kappa * rate + rate**2) / twelve
    top, bottom = sympy.fraction(sympy.together(found * (kappa + rate) / kappa))
    # top and bottom start with h, so a gap of O(h⁵) is one of O(h⁴) in the ratio;
    # exponentials are needed up to h⁴
    series = {rho: _taylor(kappa * eta), kept: _taylor(rate * eta)}
    gap = sympy.Poly((top - bottom * square).subs(series), eta)
    low = [gap.coeff_monomial(eta**j) for j in range(5)]
    left = np.array([found, relaxed, *low])
    right = np.array([claimed, sympy.exp(-kappa * eta), *5 * [sympy.Integer(0)]])
    return identical(left, right, "Var and its bias")


def _taylor(z: Any) -> Any:
    """The terms of e^{-z} up to the power 4."""
    return sum((-z) ** j / sympy.factorial(j) for j in range(5))


@frozen_index.control("a sixth in place of a twelfth")
def _(ctx: Context) -> Evidence:
    return _frozen(6)


@frozen_index.route("four labels", grade="measured")
def _(ctx: Context) -> Evidence:
    """The order of the bias, label by label."""
    steps = 0.2 * 0.5 ** np.arange(6)
    return decide.order(2, steps, _biases(GridSwitch(), False, steps), floor=1e-13)
