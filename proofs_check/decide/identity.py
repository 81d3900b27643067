"""Symbolic identities: proved, refuted by a witness, or undecided."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from flows.errors import BadInput
from proofs_check.evidence import Evidence
from proofs_check.relations import Grade, Identity

STATUSES = ("proved", "refuted", "undecided")


@runtime_checkable
class Decision(Protocol):
    """What a symbolic decision brings: a status, and a witness where refuted."""

    @property
    def status(self) -> Any:
        """Proved, refuted or undecided."""

    @property
    def witness(self) -> Any:
        """A point where the identity fails, or None."""


def identity(decision: Decision, *, name: str = "0", **about: Any) -> Evidence:
    """An identity by its symbolic decision; no smaller error passes (D = 0).

    Args:
        decision: any object with `status` ("proved", "refuted", "undecided") and
            `witness` (a point where a ball excludes 0, when refuted).
        name: the identity, for the record.
        **about: unit, route, note, data, quantity.

    Returns:
        The evidence, graded `proved`. A refutation without a witness is none: it comes
        back undecided.

    Raises:
        BadInput: an unknown status.
    """
    status = str(getattr(decision.status, "value", decision.status))
    if status not in STATUSES:
        raise BadInput(f"status {status!r}; accepted: {', '.join(STATUSES)}.")
    witness = decision.witness
    obstacle = ""
    if status == "refuted" and witness is None:
        obstacle = "refuted without a witness"
    data = {"kind": "identity", "witness": None if witness is None else str(witness)}
    return Evidence(
        **{
            "relation": Identity(name),
            "measured": status,
            "interval": None,
            "detectable": 0.0,
            "delta": 0.0,
            "grade": Grade.PROVED,
            "obstacle": obstacle,
            "note": "" if witness is None else f"witness {witness}",
            **about,
            "data": {**data, **about.get("data", {})},
        }
    )
