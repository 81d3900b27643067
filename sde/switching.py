"""Piecewise deterministic processes, and the switching gradient flows."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows.dynamics import Flow, State, TestFunction, directional, parameter
from flows.errors import BadInput
from flows.objective import Objective
from sde._checks import is_concrete, require_positive
from sde.laws import Finite, Law
from sde.noise import uniforms

Vector = Float[Array, " n"]


class JumpProcess(Flow):
    r"""A flow interrupted by jumps (piecewise deterministic Markov process).

    Between jumps dy = v(t, y) dt; channel c rings at rate λ_c(t, y), and the state then
    jumps to a draw of `jump(t, y, c)`. Generator:
    L φ = ∂ₜφ + v·∇φ + Σ_c λ_c (E φ(jump_c) - φ).

    `sde.ExactJumps` simulates it, by `exact` and `waiting` where they are known, else
    with `bound`. Reference: Davis, J. R. Statist. Soc. B 46(3), 1984.
    """

    @abstractmethod
    def rates(self, t: Any, y: State) -> Float[Array, " channels"]:
        """Jump rates λ_c(t, y) in 1/time, one clock a channel."""

    @abstractmethod
    def jump(self, t: Any, y: State, channel: Any) -> Law:
        """The law of the state right after channel `channel` rings at (t, y)."""

    def generator(self, phi: TestFunction) -> TestFunction:
        """L φ = ∂ₜφ + v·∇φ + Σ_c λ_c (E φ(jump_c) - φ); composes with itself."""

        def l_phi(t, y):
            flow = directional(phi, t, y, self.vector_field(t, y))
            rates = self.rates(t, y)
            here = phi(t, y)
            for channel in range(rates.shape[0]):
                after = self.jump(t, y, channel).expect(lambda z: phi(t, z))
                flow = flow + rates[channel] * (after - here)
            return flow

        return l_phi

    def exact(self, t: Any, y: State, h: Any) -> State | None:
        """The state after time h without a jump; None where no closed form is known."""
        del t, y, h
        return None

    def waiting(self, t: Any, y: State, key: Any) -> Any:
        """A draw of the time to the next jump from (t, y), over all channels; or None.

        It takes the motion between jumps into account. None where no way to draw it
        exactly is known.
        """
        del t, y, key
        return None

    def bound(self, t: Any, y: State, horizon: Any) -> Any:
        """A bound on Σ_c λ_c along the jump-free flow on [t, t + horizon]; or None."""
        del t, y, horizon
        return None


class SwitchingState(NamedTuple):
    """A position and the label of the objective in force.

    Attributes:
        position: x, shape [n].
        label: index in {0, ..., N-1}, a scalar integer.
    """

    position: Any
    label: Any


class LabelSwitching(JumpProcess):
    """Base of processes whose label jumps uniformly at a constant total rate γ.

    At a ring of the clock the new label is uniform over the N-1 others
    ("never_repeat") or over all N ("fresh_draw").
    """

    if TYPE_CHECKING:  # fields of the concrete classes, which order their own
        rate: Array
        convention: str

    @property
    @abstractmethod
    def labels(self) -> int:
        """The number N of labels."""

    @property
    def relaxation_rate(self) -> Any:
        """The rate r at which every centred function of the label decays (1/time).

        γN/(N-1) for "never_repeat", γ for "fresh_draw": conventions convert through r.
        """
        if self.convention == "fresh_draw":
            return self.rate
        return self.rate * self.labels / (self.labels - 1)

    def rates(self, t, y: SwitchingState) -> Float[Array, " 1"]:
        """One clock, of rate γ."""
        del t, y
        return self.rate[None]

    def jump(self, t, y: SwitchingState, channel: Any) -> Finite:
        """The position stays; the label is redrawn."""
        del t, channel
        n = self.labels
        labels = jnp.arange(n, dtype=jnp.asarray(y.label).dtype)
        if self.convention == "fresh_draw":
            weights = jnp.full((n,), 1 / n, dtype=float)
        else:
            weights = jnp.where(labels == y.label, 0.0, 1 / (n - 1)).astype(float)
        positions = jnp.broadcast_to(y.position[None], (n, *y.position.shape))
        return Finite(weights, SwitchingState(positions, labels))

    def waiting(self, t, y: SwitchingState, key: Any) -> Any:
        """Exponential of mean 1/γ, by inversion."""
        del t, y
        return -jnp.log(uniforms(key, 1)[0]) / self.rate

    def bound(self, t, y: SwitchingState, horizon: Any) -> Any:
        """γ, sharp."""
        del t, y, horizon
        return self.rate


def _check_switching(model: LabelSwitching) -> None:
    require_positive("rate", model.rate)
    if model.rate.ndim:
        raise BadInput(f"rate is one number; got shape {model.rate.shape}.")
    if model.convention not in ("never_repeat", "fresh_draw"):
        raise BadInput(
            'convention is "never_repeat" (uniform over the other labels) or '
            f'"fresh_draw" (uniform over all); got {model.convention!r}.'
        )
    if model.labels < 2:
        raise BadInput(f"switching needs at least two labels; got {model.labels}.")


class SwitchingGradient(LabelSwitching):
    r"""The stochastic gradient process, x' = -∇f_I(x), with a label I that switches.

    State: `SwitchingState`. I is a Markov chain on {0, ..., N-1} whose clock rings at
    the total rate γ (1/time); 1/γ is the mean time between rings and plays the part of
    the learning rate. Unit of time: that of 1/curvature.

    Reference: Latz, "Analysis of stochastic gradient descent in continuous time",
    Statistics and Computing 31, 2021, arXiv 2004.07177.

    Attributes:
        objectives: f_0, ..., f_{N-1}, of one size.
        rate: γ > 0.
        convention: "never_repeat" or "fresh_draw" (see `LabelSwitching`).

    Raises:
        BadInput: fewer than two objectives, of different sizes, a rate that is not
            positive, an unknown convention.
    """

    equation: ClassVar[str] = r"\dot x = -\nabla f_{I(t)}(x)"
    objectives: tuple[Objective, ...]
    rate: Array = eqx.field(
        converter=parameter, metadata={"positive": True, "symbol": r"\gamma"}
    )
    convention: str = eqx.field(static=True, default="never_repeat")

    def __check_init__(self):
        _check_switching(self)
        if len({f.size for f in self.objectives}) != 1:
            raise BadInput("the objectives have different numbers of parameters.")

    @property
    def labels(self) -> int:
        """The number N of objectives."""
        return len(self.objectives)

    def vector_field(self, t, y: SwitchingState) -> SwitchingState:
        """(-∇f_I(x), no motion of the label)."""
        del t
        branches = [lambda x, f=f: -f.gradient(x) for f in self.objectives]
        return SwitchingState(jax.lax.switch(y.label, branches, y.position), None)


class SwitchingQuadratic(LabelSwitching):
    r"""The switching gradient flow of f_i(x) = (κ/2)|x - a_i|², exact between jumps.

    x' = -κ(x - a_I), I as in `SwitchingGradient`. With the relaxation rate r of the
    label, the stationary law of x is that of Σ_i w_i a_i with w Dirichlet of parameters
    r/(κN), ...; for N = 2 and a = ±1, (x + 1)/2 ~ Beta(r/(2κ), r/(2κ)), which is
    Beta(γ/κ, γ/κ) for "never_repeat". Its variance is s²κ/(κ + r), s² that of the a_i.

    Derivation for N = 2: stationary densities p_± of (x, label) have no net flux,
    (1-x)p_+ = (1+x)p_-, and ∂ₓ(κ(1-x)p_+) = (r/2)(p_- - p_+); so the total density is
    ∝ (1-x²)^{r/(2κ) - 1}. State: `SwitchingState`; unit of time that of 1/κ.

    Attributes:
        centres: a_i, shape [N, n].
        curvature: κ > 0 (1/time).
        rate: γ > 0 (1/time).
        convention: "never_repeat" or "fresh_draw".

    Raises:
        BadInput: centres that are not a finite [N, n] array with N >= 2, a curvature
            or rate that is not positive, an unknown convention.
    """

    equation: ClassVar[str] = r"\dot x = -\kappa\,(x - a_{I(t)})"
    centres: Array = eqx.field(converter=parameter, metadata={"symbol": "a"})
    curvature: Array = eqx.field(
        converter=parameter,
        default=1.0,
        metadata={"positive": True, "symbol": r"\kappa"},
    )
    rate: Array = eqx.field(
        converter=parameter,
        default=1.0,
        metadata={"positive": True, "symbol": r"\gamma"},
    )
    convention: str = eqx.field(static=True, default="never_repeat")

    def __check_init__(self):
        if self.centres.ndim != 2:
            raise BadInput(
                f"centres have shape [N, n], one row a label; got {self.centres.shape}."
            )
        if is_concrete(self.centres) and not np.all(np.isfinite(self.centres)):
            raise BadInput(f"the centres are finite; got {self.centres}.")
        require_positive("curvature", self.curvature)
        _check_switching(self)

    @property
    def labels(self) -> int:
        """The number N of centres."""
        return self.centres.shape[0]

    def centre(self, label: Any) -> Vector:
        """a_label, shape [n]."""
        return self.centres[label]

    def vector_field(self, t, y: SwitchingState) -> SwitchingState:
        """(-κ(x - a_I), no motion of the label)."""
        del t
        pull = -self.curvature * (y.position - self.centre(y.label))
        return SwitchingState(pull, None)

    def exact(self, t, y: SwitchingState, h: Any) -> SwitchingState:
        """(a_I + e^{-κh}(x - a_I), I)."""
        del t
        a = self.centre(y.label)
        x = a + jnp.exp(-self.curvature * h) * (y.position - a)
        return SwitchingState(x, y.label)
