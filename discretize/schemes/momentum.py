"""Semi-implicit Euler methods of damped flows: what heavy ball is."""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx

from discretize.heavy_ball import require_friction, retention_and_gain
from flows import DampedFlow, PhaseState, Scheme, Step
from flows.door import require_instance
from flows.schedules import value_at


class MomentumEuler(Scheme):
    r"""Semi-implicit Euler on m(t) x'' + α x' + ∇f(x) = 0: heavy ball.

        v ← β v - c ∇f(x),   x ← x + h v,

    where β and c say how friction enters:

    | friction | β | c | stable on κx²/2 iff |
    | --- | --- | --- | --- |
    | implicit | m/(m + αh) | h/(m + αh) | h < (α + √(α² + 4κm))/κ |
    | explicit | 1 - αh/m | h/m | h < (-α + √(α² + 4κm))/κ |
    | exponential | e^{-αh/m} | (1 - β)/α | h tanh(αh/2m) < 2α/κ |

    Implicit friction is the one to use: as m -> 0 its limit is 2α/κ, that of gradient
    descent, while that of explicit friction shrinks like 2m/α. The Jacobian has the
    determinant β for any f (conformally symplectic); the exponential one contracts
    area at the flow's own rate. Order 1. Started at rest it is
    `optax.sgd(hc, momentum=β)`, see `to_heavy_ball`. The mass is taken at the step's
    start.

    Reference: the schemes are classical (symplectic Euler with linear friction); heavy
    ball is Polyak's, USSR Comput. Math. Math. Phys. 4(5), 1964.

    Attributes:
        friction: "implicit", "explicit" or "exponential".

    Raises:
        BadInput: another word, or (from a step) a model that is no
            `flows.DampedFlow`.
    """

    order: ClassVar[int] = 1
    friction: str = eqx.field(static=True, default="implicit")

    def __check_init__(self):
        require_friction(self.friction)

    def step(self, dynamics, t, y, h, noise, carry) -> Step:
        """One step of size h."""
        del noise
        wanted = "MomentumEuler steps a DampedFlow (a switching process in GridSwitch)"
        require_instance(dynamics, DampedFlow, wanted)
        mass = value_at(dynamics.mass, t)
        beta, gain = retention_and_gain(self.friction, h, mass, dynamics.friction)
        x, v = y
        v = beta * v - gain * dynamics.objective.gradient(x)
        return Step(PhaseState(x + h * v, v), carry)
