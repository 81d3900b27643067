"""Worst cases by semidefinite programming: primal and dual values with residuals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flows.errors import BadInput
from proofs_check.decide.equal import evidence_of
from proofs_check.decide.measurement import Measurement
from proofs_check.evidence import Evidence
from proofs_check.relations import Equal, Grade, Real

OPTIMAL, UNBOUNDED = "optimal", "unbounded"


@dataclass(frozen=True)
class SdpSolution:
    r"""What one solver brings home of a worst case, sup of a metric over an SDP.

    Weak duality: with multipliers λ_i >= 0 of the constraints c_i <= 0, S the matrix
    and r the vector of coefficients that λ leaves over in the Gram matrix G and in the
    function values F, every feasible point has

        metric = d + r·F - ⟨S, G⟩ + Σ λ_i c_i <= d + Σ |r_i| B_i + ε R.

    Attributes:
        status: "optimal", "unbounded", or any other word of the solver.
        primal: v, value at the solver's point.
        dual: d, the constant that the multipliers leave.
        slack: ε = max(0, -λ_min(S)).
        trace: R >= trace of G.
        residuals: r_i, one for each function value.
        bounds: B_i >= |F_i|, in the same order.
        violation: by how much v may be too large because its point is infeasible.
        solver: name of the solver.
    """

    status: str
    primal: Real = math.nan
    dual: Real = math.nan
    slack: Real = 0.0
    trace: Real = 0.0
    residuals: Sequence[Real] = ()
    bounds: Sequence[Real] = ()
    violation: Real = 0.0
    solver: str = ""

    def __post_init__(self) -> None:
        if len(self.residuals) != len(self.bounds):
            raise BadInput("an SDP has one bound for each residual.")
        if min(self.slack, self.trace, self.violation, *self.bounds, 0.0) < 0:
            raise BadInput("slack, trace, bounds and violation of an SDP are >= 0.")

    @property
    def error(self) -> float:
        """The error e = R ε + Σ |r_i| B_i + violation of [v - e, d + e]."""
        linear = sum(
            abs(r) * b for r, b in zip(self.residuals, self.bounds, strict=True)
        )
        return float(self.trace * self.slack + linear + self.violation)


def sdp(
    claimed: Real,
    attempts: SdpSolution | Sequence[SdpSolution],
    *,
    delta: Real,
    scale: Real | None = None,
    **about: Any,
) -> Evidence:
    """Claim: the worst case is c. I = d ± (e + |d - v|), which holds [v - e, d + e].

    The first attempt that ended "optimal" or "unbounded" counts; an unbounded problem
    refutes every finite claim (measured +∞); where no attempt ended so, `undecided`.
    The grade is `measured`: the multipliers are floats, and R and B_i are read off the
    solver's point.

    Args:
        claimed: c, in the unit of the metric.
        attempts: what the solvers brought home, in the order they were asked.
        delta: relative error that must be detectable.
        scale: S; |c|, or 1 where the claim is 0, if None.
        **about: unit, route, note, data, quantity.

    Returns:
        The evidence.

    Raises:
        BadInput: no attempt.
    """
    tried = [attempts] if isinstance(attempts, SdpSolution) else list(attempts)
    if not tried:
        raise BadInput("an SDP's verdict needs the outcome of at least one solver.")
    relation = Equal(claimed, 1.0 if scale is None and claimed == 0 else scale)
    ended = [s for s in tried if s.status in (OPTIMAL, UNBOUNDED)]
    if not ended:
        said = "; ".join(f"{s.solver or 'solver'}: {s.status}" for s in tried)
        lost = Measurement(0.0, obstacle=f"no solver came to an end ({said})")
        return evidence_of(relation, lost, delta=delta, **about)
    found = ended[0]
    if found.status == UNBOUNDED:
        return Evidence(
            **{
                "relation": relation,
                "measured": math.inf,
                "interval": (math.inf, math.inf),
                "detectable": 0.0,
                "delta": delta,
                "grade": Grade.MEASURED,
                "note": f"the worst case is unbounded ({found.solver})",
                **about,
            }
        )
    fault = "" if math.isfinite(found.error) else "the SDP's error is not finite"
    bias = found.error + abs(found.dual - found.primal) if not fault else 0.0
    if not (math.isfinite(found.primal) and math.isfinite(found.dual)):
        fault, bias = "an SDP value is not finite", 0.0
    measured = Measurement(found.dual, bias=bias, fault=fault)
    data = {
        "solver": found.solver,
        "primal": found.primal,
        "dual": found.dual,
        "slack": found.slack,
        "residual": found.error,
    }
    about = {**about, "data": {**data, **about.get("data", {})}}
    return evidence_of(relation, measured, delta=delta, **about)
