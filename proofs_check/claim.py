"""A claim: one statement of a paper, the routes that test it, its negative controls."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flows.errors import BadInput
from proofs_check.evidence import Equal, Grade, Real, Relation
from proofs_check.extras import require_known
from proofs_check.parts import DIVERGED as DIVERGED
from proofs_check.parts import Control as Control
from proofs_check.parts import Expected as Expected
from proofs_check.parts import Hypothesis as Hypothesis
from proofs_check.parts import Route as Route
from proofs_check.parts import Source as Source
from proofs_check.verdicts import require_separated

_ID = re.compile(r"[A-Za-z0-9_]+(?:[./][A-Za-z0-9_.+-]+)?")
_STRENGTH = list(Grade)


class Claim:
    """One statement of a paper with its routes and controls; made by `claim`.

    Calling the claim with a context runs its first route. Attributes are the arguments
    of `claim`, with `family` (the id up to its first "." or "/"), `routes`, `controls`.
    """

    def __init__(self, run: Callable[..., Any], fields: Mapping[str, Any]) -> None:
        self.id: str = fields["id"]
        self.title: str = fields["title"]
        self.source: Source = fields["source"]
        self.statement: str = fields["statement"]
        self.hypotheses: tuple[Hypothesis, ...] = fields["hypotheses"]
        self.relation: Relation | None = fields["relation"]
        self.delta: float = fields["delta"]
        self.quick_delta: float = fields["quick_delta"]
        self.full_only: bool = fields["full_only"]
        self.unit: str = fields["unit"]
        self.parameters: dict[str, Any] = fields["parameters"]
        self.cache: dict[Any, Any] = {}
        self.routes: list[Route] = [
            Route("main", run, fields["grade"], fields["checks"], fields["requires"])
        ]
        self.controls: list[Control] = []
        self.__doc__ = run.__doc__
        self.__name__ = getattr(run, "__name__", self.id)
        self.__module__ = run.__module__
        self.__wrapped__ = run

    @property
    def family(self) -> str:
        """The id up to its first "." or "/"; the id itself where it has none."""
        return re.split(r"[./]", self.id, maxsplit=1)[0]

    @property
    def grade(self) -> Grade | None:
        """Grade declared for the first route."""
        return self.routes[0].grade

    @property
    def requires(self) -> tuple[str, ...]:
        """Packages of optional extras without which the first route cannot run."""
        return self.routes[0].requires

    @property
    def checks(self) -> int:
        """Number of checks with luck in them, each of a level 1e-9: routes, controls.

        It is 0 where every route declares a grade stronger than `estimated`: what is
        proved, certified or measured raises no false alarm by chance. Such a claim may
        not bring home Monte-Carlo evidence, nor may its controls.
        """
        if all(_without_luck(route) for route in self.routes):
            return 0
        return sum(part.checks for part in [*self.routes, *self.controls])

    def __call__(self, ctx: Any) -> Any:
        """The first route's evidence in this context."""
        return self.routes[0].run(ctx)

    def route(
        self,
        name: str,
        *,
        grade: Grade | str | None = None,
        checks: int = 1,
        requires: Sequence[str] | None = None,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Decorator: one more independent way to test the claim (effort full).

        Args:
            name: what the route does; unique within the claim.
            grade: the weakest grade that its first evidence may have.
            checks: most Monte-Carlo evidences it yields.
            requires: packages of optional extras (default: none).

        Returns:
            A decorator that hands the function back.
        """
        self._require_new(name)
        _require_count(checks)
        needed = require_known(requires or ())

        def add(run: Callable[..., Any]) -> Callable[..., Any]:
            self.routes.append(Route(name, run, _grade(grade), checks, needed))
            return run

        return add

    def control(
        self,
        name: str,
        *,
        expected: Expected = None,
        parameters: Mapping[str, Any] | None = None,
        paired: bool = False,
        checks: int = 1,
        requires: Sequence[str] | None = None,
    ) -> Any:
        """A negative control: as a decorator, or the first route at other parameters.

        Args:
            name: the hypothesis that is broken, in words; unique within the claim.
            expected: the wrong value, None (not known) or "diverged".
            parameters: with these, the control is the first route at these values,
                and there is nothing to decorate.
            paired: share the random streams of the main route.
            checks: most Monte-Carlo evidences it yields.
            requires: packages of optional extras (default: those of the first route).

        Returns:
            A decorator that hands the function back; the claim, given `parameters`.

        Raises:
            BadInput: a name that is taken, an unknown parameter, an expected value
                closer to the claimed one than 1.5 detectable errors.
        """
        self._require_new(name)
        _require_count(checks)
        self._require_expected(name, expected)
        needed = self.requires if requires is None else require_known(requires)

        def add(run: Callable[..., Any]) -> Callable[..., Any]:
            self.controls.append(
                Control(name, run, expected, parameters, paired, checks, needed)
            )
            return run

        if parameters is None:
            return add
        self.require_parameters(parameters)
        add(self.__wrapped__)
        return self

    def require_parameters(self, given: Mapping[str, Any]) -> None:
        """Refuse parameters that the claim does not declare.

        Raises:
            BadInput: with the names that it declares.
        """
        for name in given:
            if name not in self.parameters:
                known = ", ".join(sorted(self.parameters)) or "none"
                raise BadInput(
                    f"the claim {self.id} has no parameter {name!r}; it has: {known}"
                )

    def _require_new(self, name: str) -> None:
        if name in {part.name for part in [*self.routes, *self.controls]}:
            raise BadInput(f"the claim {self.id} has a check named {name!r} already")

    def _require_expected(self, name: str, expected: Expected) -> None:
        if isinstance(expected, str) and expected != DIVERGED:
            raise BadInput(
                f"the control {name!r} of {self.id} expects {expected!r}; accepted are "
                f"a number, None and {DIVERGED!r}"
            )
        if expected is None or isinstance(expected, str) or self.relation is None:
            return
        delta = max(self.delta, self.quick_delta)
        try:
            require_separated(self.relation, expected, delta)
        except BadInput as weak:
            raise BadInput(f"the control {name!r} of {self.id}: {weak}") from weak

    def _repr_html_(self) -> str:
        from proofs_check.report.html import claim_card

        return claim_card(self)

    def __repr__(self) -> str:
        return f"<claim {self.id}: {self.title} ({self.source.label})>"


def _grade(grade: Grade | str | None) -> Grade | None:
    if grade is None:
        return None
    try:
        return Grade(grade)
    except ValueError:
        accepted = ", ".join(Grade)
        raise BadInput(f"no grade {grade!r}; accepted: {accepted}") from None


def _without_luck(route: Route) -> bool:
    return route.grade is not None and route.grade is not Grade.ESTIMATED


def weaker(found: Grade, declared: Grade | None) -> bool:
    """Whether evidence of the grade `found` falls short of the declared one."""
    return declared is not None and _STRENGTH.index(found) > _STRENGTH.index(declared)


def _require_count(checks: int) -> None:
    if checks < 1:
        raise BadInput(f"checks must be at least 1, not {checks}")


def _require_delta(name: str, delta: Real) -> float:
    if not (math.isfinite(delta) and delta >= 0):
        raise BadInput(f"{name} must be a finite number >= 0, not {delta}")
    return float(delta)


def _hypothesis(given: Any) -> Hypothesis:
    if isinstance(given, Hypothesis):
        return given
    return Hypothesis(given) if isinstance(given, str) else Hypothesis(*given)


def claim(
    id: str | None = None,
    *,
    title: str = "",
    source: Source | str = "",
    statement: str = "",
    hypotheses: Sequence[Any] = (),
    relation: Relation | float | None = None,
    grade: Grade | str | None = None,
    delta: Real = 0.01,
    quick_delta: Real | None = None,
    full_only: bool = False,
    unit: str = "",
    parameters: Mapping[str, Any] | None = None,
    checks: int = 1,
    requires: Sequence[str] = (),
    registry: Any = None,
) -> Callable[[Callable[..., Any]], Claim]:
    r"""Decorator that makes a `Claim` of a function of a `Context`.

    The function is the claim's first route: it returns an `Evidence` or yields several.
    It may be written in a notebook; only modules below `proofs_check.claims` enter the
    registry of the package by themselves.

    Args:
        id: "family.name" (default: the function's name).
        title: one line for people (default: the docstring's first line).
        source: where the statement stands (a plain text becomes a title).
        statement: LaTeX, or text with LaTeX between dollar signs.
        hypotheses: texts, `Hypothesis` objects or pairs (text, test of parameters).
        relation: what is claimed of the measured value (a number c stands for
            `Equal(c)`), where it is known beforehand;
            controls are then held against it as they are declared.
        grade: the weakest grade that the first evidence may have.
        delta: relative error that must be detectable at effort full.
        quick_delta: the same at effort quick (default: `delta`).
        full_only: leave the claim out of quick runs.
        unit: unit of the measured value (of time above all), as text.
        parameters: names and values that `check(..., vary=)` may change.
        checks: most Monte-Carlo evidences that the first route yields.
        requires: packages of optional extras that the first route imports, by import
            name, as ("PEPit",); where one is missing the claim is skipped, by name.
        registry: a `Registry` to enter (default: by the module's name).

    Returns:
        A decorator from the function to its `Claim`.

    Raises:
        BadInput: a malformed id, an unknown grade, a delta below 0, no source, a
            required package that belongs to no extra.
    """
    if not source:
        raise BadInput("a claim has a source: a Source(...), or a text.")
    if not isinstance(source, Source):
        source = Source(title=source)
    if relation is not None and not isinstance(relation, Relation):
        relation = Equal(float(relation))
    delta = _require_delta("delta", delta)
    fields: dict[str, Any] = {
        "source": source,
        "statement": statement,
        "hypotheses": tuple(_hypothesis(given) for given in hypotheses),
        "relation": relation,
        "grade": _grade(grade),
        "delta": delta,
        "quick_delta": delta
        if quick_delta is None
        else _require_delta("quick_delta", quick_delta),
        "full_only": full_only,
        "unit": unit,
        "parameters": dict(parameters or {}),
        "checks": checks,
        "requires": require_known(requires),
    }
    _require_count(checks)

    def decorate(run: Callable[..., Any]) -> Claim:
        name = id or run.__name__
        if not _ID.fullmatch(name):
            raise BadInput(f"a claim's id reads family.name, in ASCII, not {name!r}")
        first = (run.__doc__ or "").strip().split("\n")[0]
        made = Claim(run, {**fields, "id": name, "title": title or first or name})
        _enter(made, registry)
        return made

    return decorate


def _enter(made: Claim, registry: Any) -> None:
    if registry is None and made.__module__.startswith("proofs_check.claims."):
        from proofs_check.registry import REGISTRY as registry
    if registry is not None:
        registry.add(made)
