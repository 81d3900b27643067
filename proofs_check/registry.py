"""The claims by id, and what must be true of the whole catalogue before it runs."""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from flows.display import Table
from flows.errors import BadInput, FlowtheoryError
from proofs_check.claim import Claim
from proofs_check.extras import EXTRAS, missing
from proofs_check.verdicts import require_level


class UnknownClaim(FlowtheoryError, KeyError):
    """No claim of that name; the message holds the nearest names."""

    __str__ = Exception.__str__


class Registry(Mapping[str, Claim]):
    """Claims by id, in the order of their ids, with completion of `registry["<tab>`.

    Args:
        discover: called once, before the first look; it imports the modules whose
            decorators call `add`.
    """

    def __init__(self, discover: Callable[[], Any] | None = None) -> None:
        self._claims: dict[str, Claim] = {}
        self._discover = discover

    def add(self, claim: Claim) -> None:
        """Enter a claim; the same function, imported again, replaces itself.

        Raises:
            BadInput: another function's claim has this id.
        """
        known = self._claims.get(claim.id)
        if known is not None and _origin(known) != _origin(claim):
            raise BadInput(
                f"two claims have the id {claim.id}: {'.'.join(_origin(known))} and "
                f"{'.'.join(_origin(claim))}"
            )
        self._claims[claim.id] = claim

    def load(self) -> Registry:
        """Import the claims if that is still to be done, and validate them.

        Raises:
            BadInput: see `validate`.
        """
        if self._discover is not None:
            discover, self._discover = self._discover, None
            try:
                discover()
                self.validate()
            except BaseException:
                self._discover = discover
                raise
        return self

    def validate(self) -> None:
        """Hold the catalogue against its rules.

        Every claim has a control; the levels of all checks add up to at most 1e-6;
        expected wrong values lie 1.5 detectable errors off where that is known (also
        asked when a control is declared).

        Raises:
            BadInput: with every rule that is broken.
        """
        wrong = [f"{c.id} has no control" for c in self._claims.values() if _bare(c)]
        try:
            require_level(sum(claim.checks for claim in self._claims.values()))
        except BadInput as broken:
            wrong.append(str(broken))
        if wrong:
            raise BadInput("the catalogue breaks its rules: " + "; ".join(wrong))

    def __getitem__(self, name: str) -> Claim:
        self.load()
        if name not in self._claims:
            raise UnknownClaim(self._unknown(name))
        return self._claims[name]

    def __iter__(self) -> Iterator[str]:
        self.load()
        return iter(sorted(self._claims))

    def __len__(self) -> int:
        self.load()
        return len(self._claims)

    def families(self) -> tuple[str, ...]:
        """The families, sorted."""
        return tuple(sorted({claim.family for claim in self.values()}))

    def nearest(self, name: str, count: int = 3) -> list[str]:
        """Ids and families most like `name`, the most similar first."""
        known = [*self, *self.families()]
        close = difflib.get_close_matches(name, known, count, cutoff=0.4)
        word = re.split(r"[./*]", name)[-1].lower()
        inside = [k for k in known if word and word in k.lower()]
        return list(dict.fromkeys([*close, *inside]))[:count]

    def select(
        self, patterns: Sequence[str] = (), family: str | None = None
    ) -> list[Claim]:
        """The claims that match a pattern, all of them without one, sorted by id.

        Args:
            patterns: ids, families, or globs such as "langevin.*" and "*order*".
            family: keep this family only.

        Returns:
            The claims, each once.

        Raises:
            UnknownClaim: a pattern or family that matches nothing.
        """
        if family is not None and family not in self.families():
            raise UnknownClaim(self._unknown(family, "family"))
        chosen: set[str] = set() if patterns else set(self)
        for pattern in patterns:
            hits = {
                name
                for name, claim in self.items()
                if pattern in (name, claim.family) or fnmatch.fnmatchcase(name, pattern)
            }
            if not hits:
                raise UnknownClaim(self._unknown(pattern))
            chosen |= hits
        claims = [self[name] for name in sorted(chosen)]
        return [c for c in claims if family is None or c.family == family]

    def _unknown(self, name: str, what: str = "claim") -> str:
        close = self.nearest(name)
        hint = f"; nearest: {', '.join(close)}" if close else ""
        return f"no {what} {name!r} among {len(self)}{hint}"

    def table(self) -> Table:
        """Id, title, source, grade of every claim."""
        return listing(list(self.values()))

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()

    def __repr__(self) -> str:
        return f"<{len(self)} claims in {len(self.families())} families>"

    def __str__(self) -> str:
        return str(self.table())


def listing(claims: Sequence[Claim]) -> Table:
    """A table of claims: id, title, source, grade declared, effort, extras needed."""
    rows = [
        (
            c.id,
            c.title,
            c.source.label,
            c.grade,
            "full" if c.full_only else "quick",
            _needs(c),
        )
        for c in claims
    ]
    return Table(("claim", "title", "source", "grade", "from effort", "needs"), rows)


def _needs(claim: Claim) -> str:
    """The extras that the first route needs; one that is missing says so."""
    absent = {EXTRAS[name] for name in missing(claim.requires)}
    extras = dict.fromkeys(EXTRAS[name] for name in claim.requires)
    return ", ".join(f"{e} (missing)" if e in absent else e for e in extras)


def _origin(claim: Claim) -> tuple[str, str]:
    return claim.__module__, claim.__name__


def _bare(claim: Claim) -> bool:
    return not claim.controls


def _discover() -> None:
    from proofs_check.claims import discover

    discover()


REGISTRY = Registry(_discover)
"""The claims of the package, filled by the modules below `proofs_check.claims`."""


def claims() -> Registry:
    """The claims of the package by id; `claims()["<tab>` completes in a notebook.

    Raises:
        BadInput: the catalogue breaks one of its rules.
    """
    return REGISTRY.load()
