"""The command: pin, measure, print, write."""

import argparse
import sys
from pathlib import Path

from benchmarks import machine

CASES = (
    "solve",
    "gradient_flow",
    "inertial",
    "optimisers",
    "loops",
    "imports",
    "inertial_steps",
    "ensembles",
    "ensembles_diffrax",
    "ensembles_memory",
    "jump_processes",
    "tracing",
    "complementarity",
    "central_flow",
    "regimes",
)


def options(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--case", action="append", choices=CASES, help="only this one")
    parser.add_argument("--write", action="store_true", help="into RESULTS.md")
    parser.add_argument("--out", default="out", help="folder of benchmarks.json")
    parser.add_argument("--core", type=int, help="which core to use")
    parser.add_argument("--repeats", type=int, default=11, help="samples a contender")
    parser.add_argument("--tiny", action="store_true", help="only see that it runs")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the cases; 1 where a target is missed."""
    given = options(argv)
    if given.write and given.tiny:
        sys.exit("--write takes cases at full size.")
    core = machine.pin(given.core)
    about = machine.description(core)
    import jax

    jax.config.update("jax_enable_x64", True)
    from importlib import import_module

    from benchmarks import protocol, report

    how = protocol.TINY if given.tiny else protocol.Protocol(given.repeats)
    rows = []
    for name in given.case or CASES:
        print(f"{name} ...", file=sys.stderr, flush=True)
        rows += import_module(f"benchmarks.cases.{name}").rows(how)
    page = report.markdown(rows, about)
    print(page)
    out = Path(given.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "benchmarks.json").write_text(report.as_json(rows, about))
    if given.write:
        file = Path(__file__).parent / "RESULTS.md"
        if given.case:  # beside the figures of the others, of the same machine
            page = report.merged(file.read_text(), rows, about)
        file.write_text(page)
    return int(any(row.met is False for row in rows) and not given.tiny)
