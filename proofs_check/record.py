"""Results as JSON that any reader accepts, written whole or not at all."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import sys
import tempfile
import types
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flows._version import __version__
from flows.errors import BadInput
from proofs_check.claim import Claim
from proofs_check.evidence import Evidence, Verdict, encode
from proofs_check.result import Check, ClaimResult, ControlOutcome, Skipped

_WORDS = {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}
_BACK = {word: short for short, word in _WORDS.items()}
_LONGEST = 2_000


def source_hash(claim: Claim) -> str:
    """SHA-256 of the source of the claim's module and the package's version.

    A claim written in a notebook is hashed by its functions alone.

    Args:
        claim: the claim.

    Returns:
        64 hexadecimal digits.
    """
    module = sys.modules.get(claim.__module__)
    try:
        text = inspect.getsource(module) if module is not None else ""
    except (OSError, TypeError):
        text = ""
    if not text:
        parts = [part.run for part in [*claim.routes, *claim.controls]]
        text = "\n".join(_source(run) for run in parts)
    return hashlib.sha256(f"{__version__}\n{text}".encode()).hexdigest()


def _source(run: Any) -> str:
    """A function's text and its code; the text of executed strings may be stale."""
    try:
        text = inspect.getsource(run)
    except (OSError, TypeError):
        text = ""
    code = getattr(run, "__code__", None)
    return text + (repr(run) if code is None else repr(_bytes(code)))


def _bytes(code: types.CodeType) -> tuple[Any, ...]:
    """Code and constants, nested functions included; no address in memory."""
    constants = [
        _bytes(c) if isinstance(c, types.CodeType) else repr(c) for c in code.co_consts
    ]
    return code.co_code, code.co_names, tuple(constants)


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, list):
        return [_renamed(entry, names) for entry in value]
    if isinstance(value, dict):
        return {key: _renamed(entry, names) for key, entry in value.items()}
    return value


def plain(value: Any) -> Any:
    """A value as valid JSON: "Infinity", "-Infinity" and "NaN" are strings."""
    return _renamed(encode(value), _WORDS)


def to_record(result: ClaimResult) -> dict[str, Any]:
    """A result as a JSON object.

    Args:
        result: the result of one claim.

    Returns:
        id, family, title, paper, grade, verdict, claimed, measured, interval, unit,
        relation, delta, detectable, checks, controls, skipped, seconds, seed,
        source_hash. The scalars are those of the first main check; a crash is one
        check with an error; `skipped` names what needs an extra that is missing.
    """
    claim, paper = result.claim, result.claim.source
    return plain(
        {
            "id": claim.id,
            "family": claim.family,
            "title": claim.title,
            "paper": {
                "title": paper.title,
                "authors": list(paper.authors),
                "year": paper.year,
                "arxiv": paper.arxiv,
                "location": paper.location,
            },
            "grade": result.grade,
            "verdict": result.verdict,
            "claimed": result.claimed,
            "measured": result.measured,
            "interval": result.interval,
            "unit": result.unit,
            "relation": result.relation,
            "delta": result.delta,
            "detectable": result.detectable,
            "checks": [_check_record(check) for check in result.checks],
            "controls": [_control_record(control) for control in result.controls],
            "skipped": [vars(part) for part in result.skipped],
            "seconds": round(result.seconds, 3),
            "seed": result.seed,
            "source_hash": result.source_hash,
        }
    )


def _check_record(check: Check) -> dict[str, Any]:
    found = {} if check.evidence is None else check.evidence.to_json()
    if "data" in found:
        found["data"] = {key: _thinned(entry) for key, entry in found["data"].items()}
    own = {"name": check.name, "verdict": check.verdict, "error": check.error}
    return {**found, **own, "seconds": round(check.seconds, 3)}


def _control_record(control: ControlOutcome) -> dict[str, Any]:
    record = {
        "name": control.name,
        "caught": control.caught,
        "expected": control.expected,
        "measured": control.measured,
    }
    return {**record, "error": control.error} if control.error else record


def _thinned(value: Any) -> Any:
    """Long curves keep every n-th point: the record is for pictures."""
    if isinstance(value, dict):
        return {key: _thinned(entry) for key, entry in value.items()}
    if isinstance(value, list) and len(value) > _LONGEST:
        return value[:: -(-len(value) // _LONGEST)]
    return value


def from_record(record: Mapping[str, Any], claim: Claim, effort: str) -> ClaimResult:
    """The result that `to_record` wrote.

    Args:
        record: one entry of a file's `claims`.
        claim: the claim of that id.
        effort: the effort of the recorded run.

    Returns:
        The result; its controls know their measured value, not their interval.

    Raises:
        BadInput: a check's fields do not give the verdict that the record states.
    """
    checks = tuple(_check(entry) for entry in record["checks"])
    kept = record.get("control_evidence", [None] * len(record["controls"]))
    shown = [e and Evidence.from_json(_renamed(e, _BACK)) for e in kept]
    verdict = Verdict(record["verdict"])
    controls = tuple(
        ControlOutcome(
            entry["name"],
            _number(entry["expected"]),
            entry["caught"],
            measured=_number(entry["measured"]),
            error=entry.get("error", ""),
            evidence=found,
        )
        for entry, found in zip(record["controls"], shown, strict=True)
    )
    return ClaimResult(
        claim=claim,
        verdict=verdict,
        checks=checks,
        controls=controls,
        effort=effort,
        seed=record["seed"],
        parameters=dict(claim.parameters),
        seconds=float(record["seconds"]),
        source_hash=record["source_hash"],
        reason=record.get("reason", _reason(verdict, checks, controls)),
        skipped=tuple(Skipped(**part) for part in record.get("skipped", ())),
    )


def to_message(result: ClaimResult) -> dict[str, Any]:
    """The record of a result with what only a report needs, for another process."""
    shown = [c.evidence and c.evidence.to_json() for c in result.controls]
    extra = {"reason": result.reason, "control_evidence": plain(shown)}
    return {**to_record(result), **extra}


def _reason(
    verdict: Verdict, checks: Sequence[Check], controls: Sequence[ControlOutcome]
) -> str:
    if verdict is Verdict.HOLDS:
        return ""
    lines = [f"{c.name}: {c.error}" for c in [*checks, *controls] if c.error]
    lines += [f"{c.name}: {c.evidence}" for c in checks if c.verdict is verdict]
    lines += [f"control not caught: {c.name}" for c in controls if not c.caught]
    return lines[0].strip().splitlines()[-1] if lines else "two routes disagree"


def _check(entry: Mapping[str, Any]) -> Check:
    own = ("name", "error", "seconds")
    fields = _renamed({k: v for k, v in entry.items() if k not in own}, _BACK)
    if entry["error"]:
        fields.pop("verdict")
    found = Evidence.from_json(fields) if "relation" in fields else None
    return Check(entry["name"], found, entry["error"], float(entry["seconds"]))


def _number(value: Any) -> Any:
    return float(_BACK[value]) if isinstance(value, str) and value in _BACK else value


def write_json(
    path: str | os.PathLike[str],
    environment: Mapping[str, Any],
    records: Sequence[Mapping[str, Any]],
) -> None:
    """Write a run's file: a temporary file beside it, then a rename.

    Args:
        path: the file; its folder is made where it is missing.
        environment: see `proofs_check.environment.describe`.
        records: see `to_record`.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(
        {"environment": plain(dict(environment)), "claims": list(records)},
        allow_nan=False,
        ensure_ascii=False,
        indent=1,
    )
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text + "\n")
        os.chmod(name, 0o644)
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_resumed(
    path: str | os.PathLike[str], claims: Iterable[Claim], effort: str, seed: int
) -> dict[str, dict[str, Any]]:
    """The records of an earlier run that a resumed one may keep.

    Args:
        path: a file written by `write_json`.
        claims: the claims of the resumed run.
        effort: its effort.
        seed: its seed.

    Returns:
        Records by id, of these claims alone; a claim of which a part was
        skipped for want of an extra is not among them: it runs again.

    Raises:
        BadInput: the file is no record of a run, or one of another effort, seed or
            source.
    """
    try:
        stored = json.loads(Path(path).read_text(encoding="utf-8"))
        environment = stored["environment"]
        records = {record["id"]: record for record in stored["claims"]}
    except (OSError, ValueError, KeyError, TypeError) as broken:
        raise BadInput(f"{path} is not the record of a run: {broken!r}") from broken
    for name, wanted in (("effort", effort), ("seed", seed)):
        if environment.get(name) != wanted:
            raise BadInput(
                f"{path} was run with {name} {environment.get(name)}, this run has "
                f"{name} {wanted}: give the same one, or another --json file"
            )
    kept = {claim.id: claim for claim in claims if claim.id in records}
    for name, claim in kept.items():
        if records[name]["source_hash"] != source_hash(claim):
            raise BadInput(
                f"{path} holds {name} as run from another source: the claim's module "
                "or the package's version changed since. Run it afresh"
            )
    done = [name for name in kept if not _lacked(records[name])]
    return {name: records[name] for name in done}


def _lacked(record: Mapping[str, Any]) -> bool:
    """Whether anything of the claim waited for an extra, which may be there by now."""
    return bool(record.get("skipped"))
