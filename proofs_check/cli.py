"""The command `proofs-check`: list, show and run the claims of the papers.

Exit status: 0 all claims that ran hold, 1 some do not, 2 wrong usage (an unknown
claim, a record that cannot be resumed), 130 interrupted (what ran is written). A claim,
route or control that needs an optional extra is skipped where that is missing, named
with the line that installs it; with --strict-extras such a skip counts as 1.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from flows._version import __version__
from flows.errors import FlowtheoryError
from proofs_check.claim import Claim
from proofs_check.environment import describe, prepare_process
from proofs_check.evidence import Verdict
from proofs_check.extras import advice
from proofs_check.jobs import RunOptions, run_claims
from proofs_check.record import read_resumed
from proofs_check.registry import REGISTRY, Registry, listing
from proofs_check.result import ClaimResult
from proofs_check.table import count_line, results_lines

ALL_HOLD, SOME_DO_NOT, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130


def parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    top = argparse.ArgumentParser(
        prog="proofs-check",
        description="Check the claims of the papers and say what the evidence shows.",
        epilog="Exit status: 0 all that ran hold, 1 not all (with --strict-extras: or "
        "something was skipped), 2 wrong usage, 130 interrupted.",
    )
    top.add_argument("--version", action="version", version=f"flowtheory {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    pattern = "id, family, or glob such as 'langevin.*' (default: all)"

    lister = commands.add_parser("list", help="the claims, one a line")
    lister.add_argument("patterns", nargs="*", metavar="PATTERN", help=pattern)
    lister.add_argument("--family", help="only this family")
    lister.add_argument("--json", action="store_true", help="as a JSON list")

    show = commands.add_parser("show", help="statement, source, hypotheses, controls")
    show.add_argument("claim", metavar="CLAIM", help="id of a claim")

    run = commands.add_parser(
        "run", help="run claims and print a table of the evidence"
    )
    run.add_argument("patterns", nargs="*", metavar="PATTERN", help=pattern)
    run.add_argument("--family", help="only this family")
    run.add_argument("--effort", choices=("quick", "full"), default="quick")
    run.add_argument("--seed", type=int, default=0, help="32-bit number (default: 0)")
    run.add_argument("--jobs", type=_count, default=1, metavar="N", help="processes")
    run.add_argument("--device", choices=("cpu", "gpu"), help="default: jax's choice")
    run.add_argument("--json", metavar="FILE", help="written after each claim")
    run.add_argument("--report", metavar="DIR", help="write DIR/index.html")
    run.add_argument(
        "--resume", action="store_true", help="keep what the file of --json holds"
    )
    run.add_argument(
        "--strict-extras",
        action="store_true",
        help="a skip for want of an optional package is a failure (for CI)",
    )
    return top


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"at least 1, not {value}")
    return value


def main(argv: Sequence[str] | None = None, *, registry: Registry | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments (default: those of the process).
        registry: the claims (default: those of the package).

    Returns:
        The exit status, see the module.
    """
    arguments = parser().parse_args(argv)
    known = REGISTRY if registry is None else registry
    commands = {"list": _list, "show": _show, "run": _run}
    try:
        prepare_process(getattr(arguments, "device", None))
        return commands[arguments.command](arguments, known.load())
    except FlowtheoryError as wrong:
        print(f"proofs-check: {wrong}", file=sys.stderr)
        return WRONG_USAGE
    except BrokenPipeError:
        sys.stderr.close()
        return SOME_DO_NOT


def _list(arguments: argparse.Namespace, registry: Registry) -> int:
    chosen = registry.select(arguments.patterns, arguments.family)
    if arguments.json:
        rows = [
            {
                "id": c.id,
                "family": c.family,
                "title": c.title,
                "source": str(c.source),
                "grade": c.grade,
                "full_only": c.full_only,
                "requires": list(c.requires),
                "skipped": advice(c.requires),
            }
            for c in chosen
        ]
        print(json.dumps(rows, ensure_ascii=False, indent=1))
    else:
        # ids are there to be copied: they are never cut
        print("\n".join(listing(chosen).lines(_columns(), ("title", "source"))))
        for made in chosen:
            for line in lacking_lines(made):
                print(line)
    return ALL_HOLD


def _show(arguments: argparse.Namespace, registry: Registry) -> int:
    print("\n".join(claim_lines(registry[arguments.claim])))
    return ALL_HOLD


def claim_lines(claim: Claim) -> list[str]:
    """A claim before it has run, as lines of text."""
    lines = [claim.id, f"  {claim.title}", f"  {claim.source}"]
    lines += [f"  statement: {claim.statement}"] if claim.statement else []
    lines += [f"  hypothesis: {h.statement}" for h in claim.hypotheses]
    lines += [f"  claimed: {claim.relation}"] if claim.relation is not None else []
    lines += [f"  unit: {claim.unit}"] if claim.unit else []
    lines += [f"  parameter {name} = {v}" for name, v in claim.parameters.items()]
    lines.append(f"  must detect {claim.quick_delta:g} quick, {claim.delta:g} full")
    lines += ["  full runs only"] if claim.full_only else []
    for route in claim.routes:
        needed = "".join(f", needs {name}" for name in route.requires)
        lines.append(f"  route: {route.name} ({route.grade or 'any grade'}{needed})")
    for control in claim.controls:
        wanted = "" if control.expected is None else f", must find {control.expected}"
        lines.append(f"  control: {control.name}{wanted}")
    return lines + [f"  {line}" for line in lacking_lines(claim)]


def lacking_lines(claim: Claim) -> list[str]:
    """What of a claim cannot run here, one line a part, with what would install it."""
    if reason := advice(claim.requires):
        return [f"skipped: {claim.id}: {reason}"]
    parts = [*claim.routes, *claim.controls]
    return [
        f"skipped: {claim.id}, {part.name}: {reason}"
        for part in parts
        if (reason := advice(part.requires))
    ]


def _run(arguments: argparse.Namespace, registry: Registry) -> int:
    chosen = registry.select(arguments.patterns, arguments.family)
    left_out = [c for c in chosen if c.full_only and arguments.effort == "quick"]
    chosen = [claim for claim in chosen if claim not in left_out]
    if left_out:
        names = ", ".join(claim.id for claim in left_out)
        print(f"left out, for --effort full only: {names}", file=sys.stderr)
    if not chosen:
        print("proofs-check: there is no claim to run", file=sys.stderr)
        return WRONG_USAGE
    options = RunOptions(
        effort=arguments.effort,
        seed=arguments.seed,
        jobs=arguments.jobs,
        device=arguments.device,
        json_file=None if arguments.json is None else Path(arguments.json),
        environment=describe(arguments.effort, arguments.seed),
        kept=_kept(arguments, chosen),
    )
    results, interrupted = run_claims(chosen, options)
    _print_results(results)
    if arguments.report is not None:
        from proofs_check.report import write_report

        page = write_report(results, arguments.report, options.environment)
        print(f"report: {page}", file=sys.stderr)
    if interrupted:
        print(f"interrupted: {len(results)} of {len(chosen)} ran", file=sys.stderr)
        return INTERRUPTED
    return _exit_status(results, strict=arguments.strict_extras)


def _exit_status(results: Sequence[ClaimResult], *, strict: bool) -> int:
    fine = {Verdict.HOLDS, Verdict.SKIPPED}
    failed = any(result.verdict not in fine for result in results)
    skipped = any(result.skipped for result in results)
    return SOME_DO_NOT if failed or (strict and skipped) else ALL_HOLD


def _kept(
    arguments: argparse.Namespace, chosen: Sequence[Claim]
) -> dict[str, dict[str, object]]:
    if not arguments.resume:
        return {}
    if arguments.json is None:
        raise FlowtheoryError("--resume needs the file of the earlier run: --json FILE")
    if not Path(arguments.json).exists():
        return {}
    return read_resumed(arguments.json, chosen, arguments.effort, arguments.seed)


def _print_results(results: Sequence[ClaimResult]) -> None:
    print("\n".join(results_lines(results, _columns())))
    for result in results:
        if result.verdict is Verdict.SKIPPED:
            print(f"skipped: {result.id}: {result.reason}")
            continue
        for part in result.skipped:
            print(f"skipped: {result.id}, {part}")
        if result.verdict is not Verdict.HOLDS:
            print(f"{result.verdict.value}: {result.id}: {result.reason}")
    print(count_line(results))


def _columns() -> int:
    return min(max(shutil.get_terminal_size((120, 24)).columns, 80), 160)


if __name__ == "__main__":
    sys.exit(main())
