"""Running many claims: in this process or in several, keeping what is done."""

from __future__ import annotations

import importlib
import multiprocessing
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proofs_check.claim import Claim
from proofs_check.environment import prepare_process
from proofs_check.evidence import Verdict
from proofs_check.record import (
    from_record,
    source_hash,
    to_message,
    to_record,
    write_json,
)
from proofs_check.result import SYMBOLS, Check, ClaimResult
from proofs_check.run import check


@dataclass(frozen=True)
class RunOptions:
    """How a run of many claims is to be done.

    Attributes:
        effort: "quick" or "full".
        seed: below 2**32.
        jobs: number of processes; 1 stays in this one.
        device: "cpu", "gpu" or None, for the processes it starts.
        json_file: written after each claim, or None.
        environment: what goes into that file.
        kept: records of an earlier run, by id; their claims do not run again.
    """

    effort: str = "quick"
    seed: int = 0
    jobs: int = 1
    device: str | None = None
    json_file: Path | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)
    kept: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def run_claims(
    claims: Sequence[Claim], options: RunOptions
) -> tuple[list[ClaimResult], bool]:
    """Run claims, with a line on stderr each; an interrupt keeps what is done.

    Args:
        claims: the claims, each once.
        options: how to run them.

    Returns:
        Results in the order of the claims, and whether the run was interrupted.
    """
    records: dict[str, Any] = {name: dict(r) for name, r in options.kept.items()}
    results = {
        c.id: from_record(records[c.id], c, options.effort)
        for c in claims
        if c.id in records
    }
    if results:
        print(f"kept from the earlier run: {len(results)}", file=sys.stderr)
    todo = [claim for claim in claims if claim.id not in results]
    outcomes = _in_processes if options.jobs > 1 and len(todo) > 1 else _here
    interrupted = False

    def save() -> None:
        if options.json_file is not None:
            done = [records[c.id] for c in claims if c.id in records]
            write_json(options.json_file, options.environment, done)

    try:
        for number, result in enumerate(outcomes(todo, options), 1):
            results[result.id] = result
            records[result.id] = to_record(result)
            save()
            _report_progress(number, len(todo), result)
    except KeyboardInterrupt:
        interrupted = True
    save()
    return [results[c.id] for c in claims if c.id in results], interrupted


def _report_progress(number: int, total: int, result: ClaimResult) -> None:
    count = f"[{number:>{len(str(total))}}/{total}]"
    verdict = f"{SYMBOLS[result.verdict]} {result.verdict.value}"
    start = "\r\x1b[K" if sys.stderr.isatty() else ""
    line = f"{start}{count} {result.id}: {verdict} ({result.seconds:.1f} s)"
    print(line, file=sys.stderr, flush=True)


def _here(claims: Sequence[Claim], options: RunOptions) -> Iterator[ClaimResult]:
    for number, claim in enumerate(claims, 1):
        if sys.stderr.isatty():
            line = f"[{number}/{len(claims)}] {claim.id} …"
            print(line, end="", file=sys.stderr, flush=True)
        yield _single(claim, options.effort, options.seed)


def _single(claim: Claim, effort: str, seed: int) -> ClaimResult:
    result = check(claim, effort=effort, seed=seed)
    assert isinstance(result, ClaimResult)
    return result


def _in_processes(
    claims: Sequence[Claim], options: RunOptions
) -> Iterator[ClaimResult]:
    """Results as they come from fresh processes, each set up as an entry point is."""
    pool = ProcessPoolExecutor(
        max_workers=min(options.jobs, len(claims)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=prepare_process,
        initargs=(options.device,),
    )
    waiting: dict[Future[dict[str, Any]], Claim] = {}
    try:
        for claim in claims:
            job = (claim.id, claim.__module__, options.effort, options.seed)
            waiting[pool.submit(_job, *job)] = claim
        for future in as_completed(waiting):
            claim = waiting[future]
            try:
                record = future.result()
            except BrokenProcessPool as broken:
                yield _lost(claim, options, broken)
            else:
                yield from_record(record, claim, options.effort)
        pool.shutdown()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            child.terminate()
        raise


def _job(name: str, module: str, effort: str, seed: int) -> dict[str, Any]:
    """Run one claim in a process of its own and send its record back."""
    return to_message(_single(find_claim(name, module), effort, seed))


def find_claim(name: str, module: str) -> Claim:
    """The claim of that id in a module, else in the registry of the package."""
    for found in vars(importlib.import_module(module)).values():
        if isinstance(found, Claim) and found.id == name:
            return found
    from proofs_check.registry import claims

    return claims()[name]


def _lost(claim: Claim, options: RunOptions, broken: BaseException) -> ClaimResult:
    error = f"the process that ran this claim died: {broken}"
    return ClaimResult(
        claim=claim,
        verdict=Verdict.ERROR,
        checks=(Check("main", None, error),),
        controls=(),
        effort=options.effort,
        seed=options.seed,
        source_hash=source_hash(claim),
        reason=error,
    )
