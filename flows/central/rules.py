"""Optimisers as preconditioned gradient descent: what a central flow asks of them."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows.dynamics import parameter, require_range
from flows.errors import BadInput
from flows.types import is_traced


def _rate(value: Any) -> Any:
    return value if callable(value) else parameter(value)


def _require_positive(name: str, value: Any) -> None:
    if np.shape(value) != ():
        raise BadInput(f"{name} is one number; got shape {np.shape(value)}.")
    require_range(name, value)
    if not is_traced(value) and not np.all(np.asarray(value) > 0):
        raise BadInput(f"{name} is > 0; got {value}.")


class Rule(eqx.Module):
    r"""An optimiser w ← w - P⁻¹g with a diagonal preconditioner P > 0.

    Time t counts steps of the optimiser. P may depend on t, through a schedule of the
    learning rate, and on a memory ν with

        ν' = κ (square - ν),   square = s(g, g) + Σ_ij X_ij s(H u_i, H u_j),

    where s is a bilinear form and X the covariance of the oscillation in the basis u.
    An update of an exponential average that is seen at once, ν_k = b ν_{k-1} +
    (1-b) s(g_k, g_k), is one implicit Euler step of length 1 of this with
    κ = (1-b)/b.

    Reference: Cohen, Damian, Talwalkar, Kolter and Lee, "Understanding Optimization in
    Deep Learning with Central Flows", ICLR 2025, arXiv 2410.24206.
    """

    learning_rate: eqx.AbstractVar[Any]

    @property
    def edge(self) -> Any:
        """The critical c: with P frozen, steps are stable where λ_max(P⁻¹H) < c."""
        return 2.0

    def rate(self, t: Any) -> Any:
        """The learning rate η(t) at step t."""
        eta = self.learning_rate
        return eta(t) if callable(eta) else eta

    def memory(self, gradient: Float[Array, " n"]) -> Any:
        """ν when the start has been seen once; None where there is no memory."""
        del gradient

    @abstractmethod
    def preconditioner(self, t: Any, memory: Any) -> Float[Array, "..."]:
        """The diagonal of P, of shape [n], or [] for a multiple of the identity."""

    @property
    def kappa(self) -> Any:
        """κ, the rate at which the memory forgets (1/step); None without memory."""
        return None

    def square(self, a: Float[Array, " n"], b: Float[Array, " n"]) -> Any:
        """The bilinear form s(a, b), of the memory's shape; None without memory."""
        del a, b

    def memory_rate(self, memory: Any, square: Any) -> Any:
        """ν' = κ (square - ν); None without memory."""
        return None if memory is None else self.kappa * (square - memory)

    def slope(self, t: Any, memory: Any) -> tuple[Any, Any]:
        """(∂P/∂t, ∂P/∂ν), each of P's shape; the second is None without memory.

        P acts entry by entry on ν, so that ones as a tangent give its diagonal.
        """
        t = jnp.asarray(t, jnp.asarray(self.rate(t)).dtype)
        by_time = jax.jvp(
            lambda s: self.preconditioner(s, memory), (t,), (jnp.ones_like(t),)
        )[1]
        if memory is None:
            return by_time, None
        by_memory = jax.jvp(
            lambda m: self.preconditioner(t, m), (memory,), (jnp.ones_like(memory),)
        )[1]
        return by_time, by_memory


class GradientDescent(Rule):
    """w ← w - η g: P = 1/η, so that λ_max(P⁻¹H) = 2 reads S = 2/η.

    Attributes:
        learning_rate: η > 0, or an optax schedule t -> η(t).
    """

    learning_rate: Any = eqx.field(converter=_rate, metadata={"positive": True})

    def __check_init__(self):
        if not callable(self.learning_rate):
            _require_positive("learning_rate", self.learning_rate)

    def preconditioner(self, t: Any, memory: Any) -> Float[Array, ""]:
        """1/η(t)."""
        del memory
        return jnp.asarray(1 / self.rate(t))


class Momentum(Rule):
    r"""Gradient descent with momentum β: P = (1-β)/η, with its own edge.

    The mean travels at η/(1-β) (for "ema", whose buffer is a mean of gradients, at η);
    the oscillation has period 2 and starts at the curvature c P,

        Polyak 2(1+β)/η,   EMA 2(1+β)/((1-β)η),   Nesterov 2(1+β)/((1+2β)η).

    **This central flow is proposed here; it is no model of a paper.** Write w_k = W_k +
    δ_k with δ_{k+1} = -δ_k. The buffer is linear in gradients, so that it averages

        G = g(W) + ½ ∇⟨H(W), Σ⟩,   Σ = E δδᵀ,

    as gradient descent does, and oscillates on its own: z = -1 is a root of the
    characteristic polynomial exactly where λ = c P, the other root being inside the
    unit circle. With its memory expanded, W_{k+1} - W_k - β(W_k - W_{k-1}) = -ηG reads

        W' + (1+β)/(2(1-β)) W'' + ... = -P⁻¹ G.

    The flow keeps the first term. Its error is the inertia: of relative order
    (1+β)/(2(1-β)) times the rate, per step, at which G changes along the path. So it
    needs a drift that is slow over the memory of 1/(1-β) steps, a tighter condition
    than gradient descent's by a factor (c/2)². The orbits of `flows.problems.valley`
    are exact, along a slowly drifting wall the error is of first order in the speed,
    and β = 0.5 on digits is followed; β = 0.9 there drifts too fast, and is not.
    An optimiser whose buffer starts at 0 lags behind by β/(1-β) steps. Explicit
    substeps must be shorter than 2/c of a step.

    Attributes:
        learning_rate: η > 0, or an optax schedule t -> η(t).
        momentum: β in [0, 1).
        form: "polyak" (`optax.sgd(η, momentum=β)`), "nesterov" (the same with
            `nesterov=True`) or "ema" (`optax.ema(β, debias=False)`, then -η).
    """

    learning_rate: Any = eqx.field(converter=_rate, metadata={"positive": True})
    momentum: Float[Array, ""] = eqx.field(converter=parameter)
    form: str = eqx.field(static=True, default="polyak")

    def __check_init__(self):
        if not callable(self.learning_rate):
            _require_positive("learning_rate", self.learning_rate)
        require_range("momentum", self.momentum, 1.0)
        if self.form not in ("polyak", "ema", "nesterov"):
            raise BadInput(f'form is "polyak", "ema" or "nesterov"; got {self.form!r}.')

    @property
    def edge(self) -> Any:
        """Critical λ_max(P⁻¹H): 2(1+β)/(1-β), over 1+2β for Nesterov."""
        b = self.momentum
        c = 2 * (1 + b) / (1 - b)
        return c / (1 + 2 * b) if self.form == "nesterov" else c

    def preconditioner(self, t: Any, memory: Any) -> Float[Array, ""]:
        """(1-β)/η(t), or 1/η(t) for the mean of gradients."""
        del memory
        gain = 1.0 if self.form == "ema" else 1 - self.momentum
        return jnp.asarray(gain / self.rate(t))


class _Averaging(Rule):
    """What RMSProp and its scalar form share: a mean ν of squares, P = (√ν̃ + ε)/η."""

    learning_rate: Any = eqx.field(converter=_rate, metadata={"positive": True})
    decay: Float[Array, ""] = eqx.field(converter=parameter)
    eps: Float[Array, ""] = eqx.field(converter=parameter, default=0.0)
    eps_root: Float[Array, ""] = eqx.field(converter=parameter, default=0.0)
    initial: Float[Array, "..."] = eqx.field(converter=parameter, default=0.0)

    def __check_init__(self):
        if not callable(self.learning_rate):
            _require_positive("learning_rate", self.learning_rate)
        require_range("decay", self.decay, 1.0)
        _require_positive("decay", self.decay)  # κ divides by it
        for name in ("eps", "eps_root", "initial"):
            require_range(name, getattr(self, name))

    @property
    def kappa(self) -> Any:
        """(1 - decay)/decay: the new ν is the one that P sees."""
        return (1 - self.decay) / self.decay

    def memory(self, gradient: Float[Array, " n"]) -> Any:
        """ν(0) = b ν_init + (1-b) s(g, g): one update at the start."""
        square = self.square(gradient, gradient)
        if jnp.shape(self.initial) not in ((), jnp.shape(square)):
            raise BadInput(
                f"initial is one number or has the memory's shape {jnp.shape(square)}; "
                f"got shape {jnp.shape(self.initial)}."
            )
        start = jnp.broadcast_to(self.initial, jnp.shape(square))
        return self.decay * start + (1 - self.decay) * square

    def preconditioner(self, t: Any, memory: Any) -> Float[Array, "..."]:
        """(√(ν + ε_root) + ε)/η(t)."""
        # Newton-like substeps may undershoot 0 by rounding; a root of that is NaN.
        root = jnp.sqrt(jnp.maximum(memory, 0.0) + self.eps_root)
        return (root + self.eps) / self.rate(t)


class ScalarRMSProp(_Averaging):
    """ν ← b ν + (1-b)|g|², w ← w - η g/√ν: one ν for all coordinates.

    Attributes:
        learning_rate: η > 0, or an optax schedule t -> η(t).
        decay: b in (0, 1).
        eps: ε outside the root (gradient units).
        eps_root: ε inside the root (gradient units squared).
        initial: ν before the first update.
    """

    def square(self, a: Float[Array, " n"], b: Float[Array, " n"]) -> Any:
        """⟨a, b⟩."""
        return a @ b


class RMSProp(_Averaging):
    """ν ← b ν + (1-b) g², w ← w - η g/√ν, entry by entry.

    Attributes:
        learning_rate: η > 0, or an optax schedule t -> η(t).
        decay: b in (0, 1).
        eps: ε outside the root (gradient units); `optax.rmsprop` has it inside by
            default.
        eps_root: ε inside the root (gradient units squared).
        initial: ν before the first update, a number or of shape [n].
    """

    def square(self, a: Float[Array, " n"], b: Float[Array, " n"]) -> Any:
        """A * b, entry by entry."""
        return a * b
