"""The main job: check every claim, write a report page and one picture.

Run by `make demo`. Exit status 0 when all claims hold.
"""

import argparse
import os
import pathlib
import time

from proofs_check.cli import main as proofs_check
from proofs_check.environment import prepare_process


def digits_picture(path: pathlib.Path) -> None:
    """Gradient descent beside gradient flow on handwritten digits."""
    import matplotlib

    matplotlib.use("Agg")

    from discretize import SGD, compare
    from flows.problems import digits_mlp

    objective, params = digits_mlp()  # a 64-16-10 tanh network, 1,210 parameters
    run = compare(objective, SGD(learning_rate=0.05), params, t1=10.0)
    print(run)
    fig, _ = run.figure()
    fig.suptitle(
        "Gradient descent (dots) stays on gradient flow (line): their distance is a "
        "small part of the way gone",
        fontsize=10,
    )
    fig.savefig(path, dpi=150)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("out"))
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    prepare_process()
    report = out / "report"
    record = out / "claims.json"
    jobs = str(min(2, os.cpu_count() or 1))
    files = ["--report", str(report), "--json", str(record)]
    status = proofs_check(["run", "--jobs", jobs, *files])
    picture = out / "digits.png"
    digits_picture(picture)
    seconds = time.perf_counter() - started
    print(f"\nreport:  {report / 'index.html'}\npicture: {picture}\nrecord:  {record}")
    print(f"done in {seconds:.0f} s")
    return status


if __name__ == "__main__":
    raise SystemExit(main())
