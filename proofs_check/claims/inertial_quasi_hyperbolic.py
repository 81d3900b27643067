"""INNA is quasi-hyperbolic momentum, at every point of its three numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
import sympy

from discretize import inna, to_inertial_newton, to_quasi_hyperbolic
from flows.symbolic import exactly
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical

MA = Source(
    title="Quasi-hyperbolic momentum and Adam for deep learning",
    authors="Jerry Ma and Denis Yarats",
    year=2019,
    arxiv="1810.06801",
    location="the method; that INNA is it is derived here",
)
POINT = sympy.symbols("gamma alpha beta", positive=True)
X, G0, G1, G2 = sympy.symbols("x g_0 g_1 g_2", real=True)


def _inna(gamma, alpha, beta, x, g0, g1, g2):
    """Three traced steps of INNA."""
    optimizer, path = inna(gamma, alpha, beta), []
    state = optimizer.init(x)
    for g in (g0, g1, g2):
        moves, state = optimizer.update(g, state, x)
        x = x + moves
        path.append(x)
    return jnp.stack(path)


def _quasi_hyperbolic(eta, m, nu, x, *slopes) -> np.ndarray:
    """Three steps of the paper's recursion."""
    d, path = sympy.Integer(0), []
    for g in slopes:
        d = m * d + (1 - m) * g
        x = x - eta * ((1 - nu) * g + nu * d)
        path.append(x)
    return np.array(path, dtype=object)


def _same(mixture: Any) -> Evidence:
    eta, m, nu = exactly(to_quasi_hyperbolic, *POINT)
    found = exactly(_inna, *POINT, X, G0, G1, G2)
    wanted = _quasi_hyperbolic(eta, m, mixture(nu), X, G0, G1, G2)
    return identical(np.asarray(found, dtype=object), wanted, "x₁, x₂, x₃")


@claim(
    "inertial.inna-is-quasi-hyperbolic",
    title="INNA is quasi-hyperbolic momentum with ν = (1-αβ)/(1-αγ)",
    source=MA,
    statement=r"\eta = \tfrac\gamma\alpha,\ m = 1-\alpha\gamma,\ \nu ="
    r" \tfrac{1-\alpha\beta}{1-\alpha\gamma}:\quad d \leftarrow m d + (1-m)\nabla f,\ "
    r"x \leftarrow x - \eta\bigl((1-\nu)\nabla f + \nu d\bigr)",
    hypotheses=(
        r"$\alpha > 0$, $\alpha\gamma \ne 1$",
        r"$\psi_0 = (1-\alpha\beta)x_0$, $d_0 = 0$; any gradients",
        "three steps, which fix a recursion over three points",
    ),
    grade="proved",
)
def inna_is_quasi_hyperbolic(ctx: Context) -> Iterator[Evidence]:
    """Three traced steps of `inna`; then ν at the points of optax.sgd."""
    yield _same(lambda nu: nu)
    eta = sympy.Symbol("eta", positive=True)
    m = 1 / (1 + sympy.Symbol("r", positive=True))
    for nesterov, wanted in ((False, sympy.Integer(1)), (True, m)):
        point = exactly(to_inertial_newton, eta, m, nesterov)
        found = exactly(to_quasi_hyperbolic, *point).mixture
        name = "ν = m, Nesterov's momentum" if nesterov else "ν = 1, heavy ball"
        yield identical(found, wanted, name)


@inna_is_quasi_hyperbolic.control("ν times 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    return _same(lambda nu: nu * sympy.Rational(1001, 1000))
