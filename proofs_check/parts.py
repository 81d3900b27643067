"""The parts of a claim: its source, hypotheses, routes and negative controls."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from proofs_check.evidence import Grade

Expected = float | int | str | None
DIVERGED = "diverged"


@dataclass(frozen=True)
class Source:
    """Where a statement stands.

    Attributes:
        title: title of the paper.
        authors: their names in the paper's order; one text is split at commas, "and".
        year: year of the version cited (None for a note of one's own).
        arxiv: arXiv id, as "1511.06251" (empty where there is none).
        location: theorem, equation or section within the paper.
    """

    title: str
    authors: str | Sequence[str] = ()
    year: int | None = None
    arxiv: str = ""
    location: str = ""

    def __post_init__(self) -> None:
        names = self.authors
        if isinstance(names, str):
            names = re.split(r"\s*,\s*(?:and\s+)?|\s+and\s+", names)
        names = tuple(name.strip() for name in names if name.strip())
        object.__setattr__(self, "authors", names)

    @property
    def label(self) -> str:
        """Short form: "Li, Tai, E 2017" or "Barrett et al. 2021"."""
        last = [name.split()[-1] for name in self.authors]
        who = ", ".join(last) if len(last) <= 3 else f"{last[0]} et al."
        return f"{who or self.title} {self.year or ''}".strip()

    @property
    def url(self) -> str:
        """Address of the paper on arXiv, or empty text."""
        return f"https://arxiv.org/abs/{self.arxiv}" if self.arxiv else ""

    def __str__(self) -> str:
        parts = [", ".join(self.authors), self.title, str(self.year or "")]
        parts += [f"arXiv:{self.arxiv}" if self.arxiv else "", self.location]
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True)
class Hypothesis:
    r"""A hypothesis of a claim, with its test on the claim's parameters.

    Attributes:
        statement: text with LaTeX between dollar signs, as r"$\eta < 2/L$".
        met: whether given parameters satisfy it (None: not a matter of parameters).
    """

    statement: str
    met: Callable[[Mapping[str, Any]], Any] | None = None

    def fails(self, parameters: Mapping[str, Any]) -> bool:
        """Whether these parameters break the hypothesis."""
        return self.met is not None and not self.met(parameters)


@dataclass(frozen=True)
class Route:
    """One way to test a claim: a function of the context, what it brings home.

    Attributes:
        name: unique within the claim; part of the seeds.
        run: function of a `Context` that returns or yields `Evidence`.
        grade: the weakest grade that its first evidence may have (None: any).
        checks: most Monte-Carlo evidences it yields; each owns a level of 1e-9.
        requires: packages of optional extras that it imports, by import name.
    """

    name: str
    run: Callable[..., Any]
    grade: Grade | None = None
    checks: int = 1
    requires: tuple[str, ...] = ()


@dataclass(frozen=True)
class Control:
    """A check that must fail: the claim with one hypothesis broken.

    Attributes:
        name: what is broken, in words; part of the seeds.
        run: function of a `Context` that returns or yields `Evidence` for the
            unchanged claim.
        expected: the wrong value it must find, None where it is not known, or
            "diverged" where an infinite measurement is the expected outcome.
        parameters: parameters of the claim that it changes.
        paired: whether it shares the random streams of the main route.
        checks: most Monte-Carlo evidences it yields.
        requires: packages of optional extras that it imports, by import name.
    """

    name: str
    run: Callable[..., Any]
    expected: Expected = None
    parameters: Mapping[str, Any] | None = None
    paired: bool = False
    checks: int = 1
    requires: tuple[str, ...] = ()
