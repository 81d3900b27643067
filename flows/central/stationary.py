"""Where RMSProp's preconditioner settles when the weights hardly move."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from flows.door import as_floats, require_number
from flows.errors import BadInput, SolveFailed, require_float64

ACCEPTED = 1e-8


class StationaryPreconditioner(NamedTuple):
    """The minimiser of a program over diagonal P with H ⪯ 2P, with its multiplier.

    Attributes:
        preconditioner: the diagonal of P (gradient units over η), shape [n].
        vectors: V, a basis of ker(2P - H), shape [n, k]; VᵀPV is not the identity.
        multiplier: M ⪰ 0 of Z = V M Vᵀ, the multiplier of H ⪯ 2P; shape [k, k].
        learning_rate: η; infinite where tr P alone is minimised.
        relative_gap: (value - lower bound)/value, the bound from Z by duality.
        residual: largest relative violation of the optimality conditions.
    """

    preconditioner: Float[np.ndarray, " n"]
    vectors: Float[np.ndarray, "n k"]
    multiplier: Float[np.ndarray, "k k"]
    learning_rate: float
    relative_gap: float
    residual: float

    @property
    def covariance(self) -> Float[np.ndarray, "k k"]:
        """X = η² M/2, so that Σ = V X Vᵀ is RMSProp's oscillation (weights squared).

        Raises:
            BadInput: η is infinite, and so is Σ.
        """
        if math.isinf(self.learning_rate):
            raise BadInput(
                "the program without gradients belongs to no learning rate, so there "
                "is no covariance; its multiplier is `multiplier`."
            )
        return 0.5 * self.learning_rate**2 * self.multiplier


class StationaryScalar(NamedTuple):
    """Where Scalar RMSProp settles: P = p I, and the trace of the oscillation.

    Attributes:
        preconditioner: p (gradient units over η).
        covariance_trace: tr Σ (weights squared).
    """

    preconditioner: float
    covariance_trace: float


def stationary_preconditioner(
    hessian: Any, gradient: Any, learning_rate: Any
) -> StationaryPreconditioner:
    r"""The preconditioner at which RMSProp's memory rests, the weights held fixed.

        P̄ = argmin { tr P + η⁻² gᵀP⁻¹g :  P diagonal, P ⪰ 0, H ⪯ 2P }.

    Its multiplier Z is the oscillation, Σ = η² Z/2: stationarity in P_i,
    1 - g_i²/(η² P_i²) = 2 Z_ii, is ν_i = g_i² + (HΣH)_ii with ν = η² P² and HΣ = 2PΣ.
    The memory rests at neither g² (no oscillation) nor at what flattens H alone.

    Solved by an interior-point method and Newton's method on the optimality
    conditions; numpy, O(n³), meant for n up to a few hundred.

    Reference: Cohen, Damian, Talwalkar, Kolter and Lee, "Understanding Optimization in
    Deep Learning with Central Flows", ICLR 2025, arXiv 2410.24206.

    Args:
        hessian: H = ∇²L(w), symmetric, shape [n, n].
        gradient: g = ∇L(w), shape [n].
        learning_rate: η > 0; `math.inf` leaves the second term out, as
            `first_term_preconditioner` does.

    Returns:
        P̄, its multiplier and how exactly the conditions hold.

    Raises:
        BadInput: shapes, a Hessian that is not symmetric, numbers that are not finite,
            or dead coordinates: without gradient, and with nothing in H to hold P_i
            above 0.
        SolveFailed: the conditions could not be met to a relative 1e-8.
        PrecisionError: in float32.
    """
    from flows.central.diagonal_program import Program, minimise

    require_float64("the stationary preconditioner")
    h, g, eta = _checked(hessian, gradient, learning_rate)
    finite = math.isfinite(eta)
    resistance = (g / eta) ** 2 if finite else np.zeros_like(g)
    alive = (resistance > 0) | np.any(h != 0, axis=1)
    if finite:
        _refuse_dead(~alive)
    inside = np.flatnonzero(alive)
    part = h[np.ix_(inside, inside)]
    found = minimise(Program(part, np.ones(inside.size), resistance[inside]))
    if not max(found.relative_gap, found.residual) <= ACCEPTED:
        raise SolveFailed(
            f"the stationary preconditioner was found to a relative "
            f"{max(found.relative_gap, found.residual):.1e} only: entries of very "
            "different size? Rescale the weights."
        )
    p, vectors = np.zeros_like(g), np.zeros((g.size, found.vectors.shape[1]))
    p[inside], vectors[inside] = found.p, found.vectors
    if finite:
        _refuse_dead(p <= 0)
    return StationaryPreconditioner(
        p, vectors, found.multiplier, eta, found.relative_gap, found.residual
    )


def first_term_preconditioner(hessian: Any) -> StationaryPreconditioner:
    """The cheapest diagonal above the Hessian: argmin { tr P : P ⪰ 0, H ⪯ 2P }.

    The limit η → ∞ of `stationary_preconditioner`. Entries may be 0, where H asks for
    nothing: with a gradient there, a step with P⁻¹ is infinite.

    Args:
        hessian: H, symmetric, shape [n, n].

    Returns:
        P with its multiplier; `learning_rate` is infinite.

    Raises:
        BadInput, SolveFailed, PrecisionError: as `stationary_preconditioner`.
    """
    h = as_floats("hessian", hessian)
    return stationary_preconditioner(h, np.zeros(h.shape[:1]), math.inf)


def stationary_scalar(
    sharpness: Any, gradient_norm: Any, learning_rate: Any
) -> StationaryScalar:
    """Where Scalar RMSProp's memory rests, the weights held fixed.

    The program of `stationary_preconditioner` for multiples of the identity,
    min p + |g|²/(η² p) with S <= 2p, is solved by p = max(S/2, |g|/η): at the edge
    (p = S/2) with ν = η² S²/4 and tr Σ = (η²/4)(1 - |g|²/(η² p²)), else without
    oscillation.

    Args:
        sharpness: S = λ_max(H).
        gradient_norm: |g|.
        learning_rate: η > 0.

    Returns:
        p and tr Σ.

    Raises:
        BadInput: numbers that are not finite, |g| < 0, η <= 0, or p = 0.
    """
    require_number("sharpness", sharpness)
    require_number("gradient_norm", gradient_norm)
    require_number("learning_rate", learning_rate, positive=True)
    s, norm, eta = float(sharpness), float(gradient_norm), float(learning_rate)
    if norm < 0:
        raise BadInput(f"gradient_norm is >= 0; got {norm}.")
    p = max(0.5 * s, norm / eta)
    if p <= 0:
        raise BadInput("without gradient and with S <= 0 the memory decays to 0.")
    return StationaryScalar(p, 0.25 * max(0.0, eta**2 - (norm / p) ** 2))


def optimisation_speed(gradient: Any, preconditioner: Any) -> float:
    """gᵀP⁻¹g, the rate at which dw/dt = -P⁻¹g lowers the loss (loss/step).

    Args:
        gradient: g, shape [n].
        preconditioner: the diagonal of P, shape [n], or [] for a multiple of the
            identity; an entry 0 counts for nothing where g is 0, and is infinitely
            fast elsewhere.

    Returns:
        The speed.

    Raises:
        BadInput: shapes that do not fit, or a negative entry of P.
    """
    g, p = as_floats("gradient", gradient), as_floats("preconditioner", preconditioner)
    if g.ndim != 1 or p.shape not in ((), g.shape):
        raise BadInput(
            "gradient has shape [n] and preconditioner [n] or []; got "
            f"{g.shape} and {p.shape}."
        )
    if not np.all(p >= 0):
        raise BadInput("a preconditioner has no negative entry (and no NaN).")
    moving = g != 0
    with np.errstate(divide="ignore"):
        return float(np.sum(g[moving] ** 2 / np.broadcast_to(p, g.shape)[moving]))


def _checked(hessian, gradient, learning_rate):
    h, g = as_floats("hessian", hessian), as_floats("gradient", gradient)
    if g.ndim != 1 or h.shape != (g.size, g.size) or g.size == 0:
        raise BadInput(
            f"hessian has shape [n, n] and gradient [n]; got {h.shape} and {g.shape}."
        )
    if not (np.all(np.isfinite(h)) and np.all(np.isfinite(g))):
        raise BadInput("the Hessian and the gradient are finite.")
    size = float(np.abs(h).max())
    if float(np.abs(h - h.T).max()) > 1e-8 * size:
        raise BadInput("a Hessian is symmetric: this one differs from its transpose.")
    eta = float(learning_rate)
    if not eta > 0:
        raise BadInput(f"learning_rate is a number > 0; got {learning_rate!r:.60}.")
    return 0.5 * (h + h.T), g, eta


def _refuse_dead(dead: np.ndarray) -> None:
    if not np.any(dead):
        return
    where = np.flatnonzero(dead)
    shown = ", ".join(map(str, where[:8])) + (", …" if where.size > 8 else "")
    raise BadInput(
        f"dead coordinates ({shown}): without gradient, and with nothing in the "
        "Hessian to hold the preconditioner up, P_i decays to 0 and a step with P⁻¹ "
        "has no limit. Drop them (inputs that are always zero are the usual cause)."
    )
