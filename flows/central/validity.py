"""Where a central flow is a model of its optimiser, and where it has ceased to be."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flows.central.flow import CentralFlow, CentralState
from flows.errors import BadInput
from flows.objective import Objective
from flows.trajectory import Trajectory

_KINKED_NAMES = ("relu", "relu6", "leaky_relu", "prelu", "hard_tanh", "hard_sigmoid")
_SUSPECTS = frozenset(
    "max min abs sign clamp reduce_max reduce_min cummax cummin sort select_n floor "
    "ceil round reduce_window_max select_and_scatter_add".split()
)
_NODES = 16  # Gauss points, and twice as many
_OVERSHOOT = 0.01  # of the edge
_COMPLEMENTARITY = 1e-6
_NEARLY_DEAD = 1e-8  # of the median of P
_NAMED = 6


class ValidityWarning(UserWarning):
    """A central flow is asked for where its hypotheses do not hold."""


class Finding(NamedTuple):
    """One hypothesis that fails.

    Attributes:
        kind: "kinks", "precision", "dead coordinates", "eigenvectors", "block",
            "overshoot", "complementarity" or "not finite".
        message: what fails and what to do.
        step: the first step concerned; None where it concerns the model as a whole.
    """

    kind: str
    message: str
    step: int | None = None


class Validity(NamedTuple):
    """Whether a run stayed where the model is one, and what failed where it did not.

    Attributes:
        findings: what failed.
        steps: steps of the run.
    """

    findings: tuple[Finding, ...]
    steps: int

    @property
    def holds(self) -> bool:
        """No hypothesis was seen to fail."""
        return not self.findings

    @property
    def until(self) -> int:
        """The step up to which nothing failed (0 where the model itself is wrong)."""
        firsts = [0 if f.step is None else f.step for f in self.findings]
        return min([self.steps, *firsts])

    def __str__(self) -> str:
        if self.holds:
            return f"valid for all {self.steps} steps"
        lines = [f"valid up to step {self.until} of {self.steps}"]
        return "\n".join([*lines, *(f"- {f.kind}: {f.message}" for f in self.findings)])

    __repr__ = __str__


def _equations(jaxpr: Any) -> Iterator[Any]:
    """The equations of a jaxpr and of those within it."""
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            for inner in value if isinstance(value, list | tuple) else (value,):
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    yield from _equations(inner)


@eqx.filter_jit
def _quadrature_gaps(objective, x, d, nodes, weights):
    """|∇f(x+d) - ∇f(x) - ∫ H d| by two quadratures, over the size of the integral."""
    products = jax.lax.map(lambda s: objective.hvp(x + s * d, d), nodes)
    change = objective.gradient(x + d) - objective.gradient(x)
    gaps = change[None, :] - weights @ products
    size = jnp.sqrt(jnp.mean(jnp.sum(products**2, axis=1)))
    return jnp.linalg.norm(gaps, axis=1), size


def kinks(objective: Objective, x: Any) -> tuple[str, ...]:
    """What makes the loss other than smooth near x: "relu", "max", ...; () if nothing.

    The loss's own program is searched for functions with kinks. A relu by its name is
    one; of others (a maximum that is subtracted for safety, a `where`) it is asked
    whether the change of the gradient along a segment is the integral of the Hessian,
    which jax differentiates branch by branch: across kinks it is not.

    Args:
        objective: f.
        x: position, shape [n].
    """
    program = jax.make_jaxpr(objective.value)(x).jaxpr
    seen = list(_equations(program))
    named = {str(e.params.get("name", "")) for e in seen}
    found = sorted(n for n in named if n in _KINKED_NAMES)
    if found:
        return tuple(found)
    suspects = sorted({e.primitive.name for e in seen} & _SUSPECTS)
    return tuple(suspects) if suspects and not _smooth(objective, x) else ()


def _smooth(objective: Objective, x: Any) -> bool:
    """Whether the integral of the Hessian converges to the change of the gradient."""
    rng = np.random.default_rng(0)
    size = np.sqrt(np.mean(np.asarray(x) ** 2)) or 1.0
    d = jnp.asarray(0.3 * size * rng.standard_normal(x.shape), x.dtype)
    nodes, weights = [], []
    for count in (_NODES, 2 * _NODES):
        z, w = np.polynomial.legendre.leggauss(count)
        nodes.append((z + 1) / 2)
        weights.append(w / 2)
    rows = np.zeros((2, 3 * _NODES))
    rows[0, :_NODES], rows[1, _NODES:] = weights
    gaps, scale = _quadrature_gaps(
        objective,
        x,
        d,
        jnp.asarray(np.concatenate(nodes), x.dtype),
        jnp.asarray(rows, x.dtype),
    )
    coarse, fine = np.asarray(gaps, float)
    rounding = 1e3 * float(jnp.finfo(x.dtype).eps)
    # smooth functions: the error falls by orders of magnitude; kinked ones: it halves
    small = max(rounding, 1e-8) * float(scale)
    return bool(fine <= small or fine < 0.05 * coarse)


def coordinate_names(objective: Objective, indices: Sequence[int]) -> list[str]:
    """Coordinates as the user knows them: "['w1'][3, 0]", or symbols of an expression.

    Args:
        objective: f.
        indices: positions in the flat vector.
    """
    symbols = getattr(objective, "symbols", None)
    if symbols is not None:
        return [symbols[i] for i in indices]
    places = objective.params(jnp.arange(objective.size, dtype=float))
    names = {}
    for key, leaf in jax.tree.leaves_with_path(eqx.filter(places, eqx.is_array)):
        leaf = np.asarray(leaf)
        for i in indices:
            for at in np.argwhere(leaf == i):
                inside = ", ".join(map(str, at))
                names[i] = jax.tree_util.keystr(key) + (
                    f"[{inside}]" if at.size else ""
                )
    return [names[i] for i in indices]


def _listed(objective: Objective, mask: Any) -> str:
    where = np.flatnonzero(mask)
    shown = ", ".join(coordinate_names(objective, where[:_NAMED].tolist()))
    rest = f", … ({where.size} in all)" if where.size > _NAMED else ""
    return shown + rest


def check_start(flow: CentralFlow, y: CentralState) -> tuple[Finding, ...]:
    """What fails of a central flow's hypotheses at its start, before anything is run.

    Whether the start stands below the edge is looked at where the eigenvectors are
    found, by the scheme.

    Args:
        flow: the central flow.
        y: its start.

    Returns:
        The findings; each has been warned of.

    Raises:
        BadInput: P is 0 at the start, with the names of the coordinates.

    Warns:
        ValidityWarning: kinks, float32, or coordinates without gradient.
    """
    f, x = flow.objective, y.position
    p = np.asarray(flow.rule.preconditioner(jnp.zeros((), x.dtype), y.memory))
    if p.ndim == 0 and not p > 0:
        raise BadInput(
            "the preconditioner is 0 at the start: the gradient is 0 there and so is "
            "its memory. Start elsewhere, or give the rule an eps or initial > 0."
        )
    advice = (
        "Drop them (inputs that are always 0 are the usual cause), or give the "
        "optimiser an eps: the flow carries it."
    )
    if not np.all(p > 0):
        raise BadInput(
            f"dead coordinates: the preconditioner P is 0 on {_listed(f, ~(p > 0))}, "
            f"which have no gradient at the start. {advice}"
        )
    found = []
    reasons = kinks(f, x)
    if reasons:
        found.append(
            Finding(
                "kinks",
                f"the loss has kinks ({', '.join(reasons)}). A central flow needs "
                "third derivatives, which see nothing of a kink: what holds the "
                "sharpness at the edge is missing. Use GELU, tanh or softplus.",
            )
        )
    if x.dtype != jnp.float64:
        found.append(
            Finding(
                "precision",
                f"in {x.dtype} third derivatives and the complementarity problem lose "
                "their digits; sharpness is then held at the edge to some 1e-3 only. "
                'Use float64: jax.config.update("jax_enable_x64", True) and parameters '
                "and data of that type.",
            )
        )
    if p.ndim == 1:
        held = float(np.min(np.asarray(flow.rule.preconditioner(0.0, 0 * y.memory))))
        dead = np.asarray(f.gradient(x) == 0)
        if dead.any() and not held > 0:
            found.append(
                Finding(
                    "dead coordinates",
                    f"{_listed(f, dead)} have no gradient at the start: P decays to 0 "
                    f"there. {advice}",
                )
            )
    for finding in found:
        warnings.warn(f"{finding.kind}: {finding.message}", ValidityWarning, 3)
    return tuple(found)


def validity(
    run: Trajectory, scheme: Any, findings: Sequence[Finding] = ()
) -> Validity:
    """Whether a run of a central flow stayed where the model is one.

    Args:
        run: what `iterate` returned, with the scheme's aux.
        scheme: the `CentralEuler` that stepped it, for its block and margin.
        findings: what was found at the start (`check_start`).

    Returns:
        A `Validity`; its text says what failed, from which step on, and what to do.

    Raises:
        BadInput: a run of another model, or without aux.
    """
    flow, aux = run.dynamics, run.aux
    if not isinstance(flow, CentralFlow) or not hasattr(aux, "eigenvalues"):
        raise BadInput(f"validity is about runs of a CentralFlow; got {run!r:.80}.")
    found = list(findings)
    edge = float(flow.rule.edge)
    values = np.asarray(aux.eigenvalues)
    residual, problem = np.asarray(aux.residual), np.asarray(aux.complementarity)
    near = edge * (1 - scheme.margin)

    def note(kind, bad, message):
        if np.any(bad):
            first = int(np.argmax(bad))
            found.append(Finding(kind, message(first), first))

    note(
        "eigenvectors",
        residual > edge * scheme.margin,
        lambda k: (
            f"from step {k} on eigenvectors near the edge have residuals up to "
            f"{residual.max():.2g} (edge {edge:.4g}): the block did not keep up. Take "
            "more substeps, or a larger block."
        ),
    )
    note(
        "block",
        values[:, -1] > near,
        lambda k: (
            f"from step {k} on all {values.shape[1]} directions that are followed "
            "stand near the edge, and there may be more: enlarge the block, "
            f"CentralEuler(block={2 * values.shape[1]})."
        ),
    )
    jump = getattr(scheme, "project_start", False)
    over = values[:, 0] > edge * (1 + _OVERSHOOT)
    over[0] &= not jump
    note(
        "overshoot",
        over,
        lambda k: (
            f"from step {k} on the effective sharpness passes the edge {edge:.4g}, up "
            f"to {values[:, 0].max():.5g}: steps are too long. Take more substeps."
        ),
    )
    note(
        "complementarity",
        problem > _COMPLEMENTARITY,
        lambda k: (
            f"from step {k} on the complementarity problem is solved to a relative "
            f"{problem.max():.1g} only."
        ),
    )
    found += _decayed(run)
    if run.end.startswith("diverged"):
        found.append(Finding("not finite", run.end, run.times.size - 1))
    return Validity(tuple(found), run.times.size - 1)


def _decayed(run: Any) -> list[Finding]:
    """Coordinates whose P has gone to 0 along the run."""
    flow, memory = run.dynamics, run.states.memory
    if memory is None or memory.ndim < 2 or run.times.size == 0:
        return []
    p = np.asarray(jax.vmap(flow.rule.preconditioner)(run.times, memory))
    dead = p < _NEARLY_DEAD * np.median(p, axis=1, keepdims=True)
    if not dead.any():
        return []
    first = int(np.argmax(dead.any(axis=1)))
    names = _listed(flow.objective, np.any(dead, axis=0))
    text = (
        f"from step {first} on P is nearly 0 on {names}: "
        "steps there have no bound. Drop them, or give the optimiser an eps."
    )
    return [Finding("dead coordinates", text, first)]
