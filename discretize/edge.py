"""The edge of stability of an optimiser whose second moments are held."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
import optax

from discretize.correspondence import Pairing
from discretize.linearise import (
    Linearisation,
    blocks_of,
    curvature_symbol,
    without_kinks,
)
from discretize.stability import Stability, solved_limit, symbols_in_ranges
from discretize.traced_step import TracedStep, late_in, traced_step
from flows import BadInput, Objective, effective_sharpness


@dataclass(frozen=True, repr=False)
class Edge:
    """Up to which λ(P⁻¹H) an optimiser is stable while its preconditioner P is held.

    P is what the optimiser divides by (Adam: P = (1 - β₁^k)(√ν̂ + ε) after k steps; a
    plain method: P = 1). The learning rate and the momentum are in the limit, not in P.

    Attributes:
        stability: the limit and how it was found; unit "λ(P⁻¹H)".
        formula: P of the second moment, the symbol "nu", when bias corrections have
            died out.
        memory: name of that moment in the optimiser's state, or None.
        early: P with the bias corrections of step k, in "nu" and "count", k - 1.
    """

    stability: Stability
    formula: Any
    memory: str | None = None
    early: Any = field(default=None, repr=False)
    symbols: tuple[Any, Any] = field(default=(None, None), repr=False)

    @property
    def limit(self) -> Any:
        """The largest stable λ(P⁻¹H): a sympy number, or an expression."""
        return self.stability.limit

    @property
    def grade(self) -> str:
        """As in `Stability`: "proved", "exact up to rounding" or "derived"."""
        return self.stability.grade

    def preconditioner(self, state: Any) -> Any:
        """The diagonal of P from the state of a run, after its last step.

        Args:
            state: what the optimiser's `update` returned.

        Returns:
            A pytree like the parameters (or one number, where the optimiser has one
            moment for all of them).

        Raises:
            BadInput: a state without that moment, of no step, or P with symbols.
        """
        if self.memory is None:
            return 1.0
        moment, steps = _one(state, self.memory), 1
        nu, count = self.symbols
        if self.early.has(count):
            steps = int(_one(state, "count"))
            if steps < 1:
                raise BadInput("the optimiser has taken no step: P is not known yet.")
        unknown = self.early.free_symbols - {nu, count}
        if unknown:
            raise BadInput(f"P = {self.formula} has symbols: give the edge numbers.")
        function = _evaluator(self.early, nu, count)
        return jax.tree.map(
            lambda a: np.asarray(function(np.asarray(a), steps - 1.0)), moment
        )

    def at(
        self, objective: Objective, params: Any, state: Any, *, tolerance: float = 1e-8
    ) -> Stability:
        """The limit beside λ_max(P⁻¹H) of a run: `.ratio` is 1 at the edge.

            limit = edge(optimizer)
            limit.at(objective, params, state).verdict

        Args:
            objective: the loss that the optimiser trains.
            params: its parameters: the user's pytree.
            state: the optimiser's state that belongs to them.
            tolerance: relative accuracy asked of the eigenvalue.

        Raises:
            BadInput: as `preconditioner` and `effective_sharpness`.
        """
        p = self.preconditioner(state)
        found = effective_sharpness(objective, params, p, tolerance=tolerance)
        return dataclasses.replace(self.stability, sharpness=found)

    def __str__(self) -> str:
        import sympy as sp

        shown = sp.N(self.formula, 4) if self.memory else 1
        return f"{self.stability.verdict}, P = {shown}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.stability._repr_html_()


def edge(method: Any) -> Edge:
    r"""The stability limit on λ(P⁻¹H) of an optimiser with its preconditioner held.

    What adaptive optimisers hover at in full-batch training ("adaptive edge of
    stability"): not the limit at a minimiser, where ν = 0 (`stability`), but that of
    the plain method on the loss preconditioned by P = √ν̂ + ε:

        gradient descent, RMSProp 2/η,   EMA momentum, Adam 2(1+β₁)/((1-β₁)η)
        (38/η at β₁ = 0.9),   NAdam 2(1+β₁)/((1-β₁)(1+2β₁)η).

    The step is traced; the memories that do not change sign with the parameters (second
    moments) are held, bias corrections die out, and Jury's conditions are solved.

    Reference: Cohen et al., "Adaptive Gradient Methods at the Edge of Stability", 2022,
    arXiv 2207.14484.

    Args:
        method: an optax optimiser, or a row at hyperparameters (`ADAM(...)`).

    Raises:
        BadInput: as `stability`; more than one second moment in P; a limit that is
            none on P⁻¹H alone.
        NoSymbolicFace: a primitive of the update has no symbolic rule.
    """
    if isinstance(method, Pairing):
        method = method.row.optimizer(method.hyper)
    if not isinstance(method, optax.GradientTransformation):
        raise BadInput(
            "expected an optax optimiser or a row at hyperparameters, got "
            f"{type(method).__name__}."
        )
    return _edge(lambda: method, {}, {})


def edge_of(factory: Callable[..., optax.GradientTransformation], **hyper: Any) -> Edge:
    """As `edge`, for a family of optimisers with symbolic hyperparameters.

        edge_of(lambda eta, b1: optax.adam(eta, b1), eta=(0, inf), b1=(0, 1)).limit
        # 2 (1 + b1)/((1 - b1) η), proved

    Args:
        factory: hyperparameters -> optax optimiser.
        **hyper: name -> a number or a range, (0, inf) or (0, 1), as in `stability_of`.

    Raises:
        BadInput: a range other than these two, and as `edge`.
    """
    values, ranges = symbols_in_ranges(hyper)
    return _edge(factory, values, ranges)


def _edge(
    factory: Callable[..., Any], hyper: Mapping[str, Any], ranges: Mapping[Any, str]
) -> Edge:
    import sympy as sp

    curvature = curvature_symbol()
    traced = traced_step(factory, hyper, curvature)
    s = sp.Symbol("s", positive=True)  # ν = s²: its root is no root
    held = _even(traced)
    table, used = _held(traced, held, s)
    odd = [i for i in range(len(traced.entries)) if i not in held]
    z = [traced.entries[i] for i in odd]
    rest = {e: sp.Integer(0) for e in z}
    image = [traced.image[i].xreplace(table) for i in odd]
    jacobian = without_kinks(sp.Matrix(image).jacobian(z), rest).xreplace(rest)
    _require_smooth(jacobian)
    late = jacobian.applyfunc(lambda e: late_in(e, traced.count))
    gain = -sp.diff(late[-1, -1], curvature)  # a step of the position for a gradient
    p, early = sp.Integer(1), sp.Integer(1)
    if gain.has(s):
        scale = sp.limit(gain * s, s, sp.oo)
        p = sp.simplify(scale / gain)
        early = -scale / sp.diff(jacobian[-1, -1], curvature)
    else:
        used = None
    plain = late.subs(curvature, curvature * p).applyfunc(sp.simplify)
    blocks = blocks_of(plain)
    if any(c.has(s) for b in blocks for c in b):
        raise BadInput("the limit depends on the second moment beyond P⁻¹H.")
    linear = Linearisation(plain, blocks, traced.exact)
    found = solved_limit(linear, curvature, ranges, "λ(P⁻¹H)")
    nu = sp.Symbol("nu", nonnegative=True)
    name = None if used is None else traced.names[used].rsplit(".", 1)[-1]
    late_p, early = (e.subs(s, sp.sqrt(nu)) for e in (p, early))
    return Edge(found, late_p, name, early, (nu, traced.count))


def _even(traced: TracedStep) -> list[int]:
    """The entries that keep their value when the parameters change their sign.

    The largest set E for which the step commutes with the reflection of all entries
    outside E; tried on numbers. Momenta are odd, second moments are even.
    """
    import itertools

    import sympy as sp

    n = len(traced.entries) - 1
    rng = np.random.default_rng(0)
    values = [sp.Rational(int(k), 64) for k in rng.integers(8, 56, n + 1)]
    numbers: dict[Any, Any] = {traced.count: sp.Integer(7)}
    for e in set().union(*(e.free_symbols for e in traced.image)):
        if e not in traced.entries and e != traced.count:
            numbers[e] = sp.Rational(int(rng.integers(8, 56)), 64)

    def images(signs):
        at = zip(traced.entries, signs, values, strict=True)
        table = {**numbers, **{z: sign * v for z, sign, v in at}}
        try:
            return [complex(e.xreplace(table)) for e in traced.image]
        except TypeError:  # a comparison of roots of negative numbers
            return [math.nan] * (n + 1)

    plain = images([1] * (n + 1))
    for size in range(n, -1, -1):
        for chosen in itertools.combinations(range(n), size):
            signs = [1 if i in chosen else -1 for i in range(n + 1)]
            mirrored = images(signs)
            pairs = zip(signs, plain, mirrored, strict=True)
            if all(abs(b - sign * a) <= 1e-9 * (1 + abs(a)) for sign, a, b in pairs):
                return list(chosen)
    raise BadInput(
        "the step is not symmetric about the minimiser: no second moments to hold."
    )


def _held(traced: TracedStep, held: list[int], s: Any) -> tuple[dict, int | None]:
    """Old values of the held entries for which the new value of the one in P is s²."""
    import sympy as sp

    table = {}
    rest = {e: sp.Integer(0) for i, e in enumerate(traced.entries) if i not in held}
    position = sp.diff(traced.image[-1], traced.entries[-1]).xreplace(rest)
    used = [i for i in held if position.has(traced.entries[i])]
    if len(used) > 1:
        names = ", ".join(traced.names[i] for i in used)
        raise BadInput(f"P is made of more than one second moment: {names}.")
    for i in used:
        entry, new = traced.entries[i], traced.image[i].xreplace(rest)
        slope = sp.diff(new, entry)
        if new.free_symbols & {traced.entries[k] for k in held if k != i} or (
            slope.has(entry) or slope == 0
        ):
            raise BadInput(f"the memory {traced.names[i]} is no weighted mean.")
        table[entry] = sp.cancel((s**2 - new.xreplace({entry: sp.Integer(0)})) / slope)
    return table, used[0] if used else None


def _require_smooth(jacobian: Any) -> None:
    import sympy as sp

    bad = (sp.nan, sp.zoo, sp.oo, sp.DiracDelta, sp.Heaviside, sp.sign, sp.Subs)
    if jacobian.has(*bad) or jacobian.atoms(sp.Dummy):
        raise BadInput(
            "the update has no linear part where gradient and momentum vanish: methods "
            "that divide by a norm or take signs have none."
        )


@functools.lru_cache(maxsize=64)
def _evaluator(formula: Any, nu: Any, count: Any) -> Callable[..., Any]:
    """The formula as a function of arrays."""
    import sympy as sp

    return sp.lambdify([nu, count], formula, modules="numpy")


def _one(state: Any, name: str) -> Any:
    """The one field of this name in an optimiser's state."""
    found = [v for _, v in optax.tree_utils.tree_get_all_with_path(state, name)]
    if not found or (len(found) > 1 and name != "count"):
        raise BadInput(
            f"the state has {len(found)} fields named {name}: pass the state that this "
            "optimiser's update returned."
        )
    return found[0]
