"""A logarithmic clock, for flows that slow down like 1/t."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from flows.door import require_instance
from flows.dynamics import DerivedFlow, Flow, State, parameter, require_range
from flows.gradient import GradientFlow


class LogTimeFlow(DerivedFlow):
    r"""A flow y' = v(t, y) on the clock s = log(t + c): dy/ds = e^s v(e^s - c, y).

    Made for losses with an exponential tail, on which |w| grows like log t: s = 60 is
    t = 10^26. There the field has rates between 1 and about (R/γ)², with R the largest
    norm of a point and γ the margin, whatever s is. Explicit solvers do for γ near R;
    for small margins, and wherever a curvature does not fall like 1/t (its rate is e^s
    times that), the flow is stiff and belongs to an implicit one, which `solve` takes
    by itself where the state is small:

        flow = flows.LogTimeFlow(flows.GradientFlow(objective))
        flows.solve(flow, w, 0.0, 60.0)

    State: that of the flow. Unit of "time": s, a factor e of time. With c = 0 a run
    over [s_0, s_1] starts at t = e^{s_0} > 0; with c = 1 (the default) s = 0 is t = 0.

    Where the flow is a gradient flow whose objective knows its gradient times e^s
    (`scaled_gradient(s, x)`: `flows.problems.separable_exponential`, `logistic`,
    `exponential`, `logistic_regression`) exponents are added before they are taken, and
    no s overflows. Other flows need s < 88 in float32, s < 709 in float64.

    Attributes:
        flow: the flow on the clock t.
        offset: c >= 0 (time).
    """

    equation: ClassVar[str] = (
        r"\frac{dy}{ds} = e^{s}\, v(e^{s} - c,\, y),\quad s = \log(t + c)"
    )
    flow: Flow
    offset: Float[Array, ""] = eqx.field(
        converter=parameter,
        default=1.0,
        metadata={"nonnegative": True, "symbol": "c"},
    )

    def __check_init__(self):
        require_range("offset", self.offset)
        require_instance(self.flow, Flow, "flow is a Flow, such as GradientFlow(f)")

    def time(self, s: Any) -> Any:
        """The time t = e^s - c."""
        return jnp.exp(s) - self.offset

    def clock(self, t: Any) -> Any:
        """The clock s = log(t + c)."""
        return jnp.log(t + self.offset)

    def stiff(self, t0: Any, t1: Any) -> bool:
        """True: the rates (R/γ)² are not known beforehand."""
        del t0, t1
        return True

    def vector_field(self, t, y: State) -> State:
        """e^s v(e^s - c, y); the first argument is s."""
        scaled = getattr(self.objective, "scaled_gradient", None)
        if type(self.flow) is GradientFlow and scaled is not None:
            return -scaled(t, y)
        rate = jnp.exp(t)
        field = self.flow.vector_field(self.time(t), y)
        return jax.tree.map(lambda a: rate * a, field)
