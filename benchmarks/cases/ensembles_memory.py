"""Ten million paths with streamed statistics: the peak of memory, in a new process."""

import json
import subprocess
import sys

from benchmarks.protocol import Protocol, Ratio, Row

CASE = "ensembles: memory of streamed statistics, 100 steps of tamed Euler"
SCRIPT = """
import json, resource, sys, time
from pathlib import Path
import jax
jax.config.update("jax_enable_x64", True)
import numpy as np
from discretize import TamedEuler
from flows.problems import double_well
from sde import OverdampedLangevin, Statistics, simulate

def run(paths):
    start = time.process_time()
    found = simulate(
        OverdampedLangevin(double_well(), 0.25), np.ones(1), t1=1.0,
        scheme=TamedEuler(), h=0.01, key=0, paths=paths,
        save=Statistics({"second": lambda y: y[0] ** 2}, times=[1.0]),
    )
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    status = Path("/proc/self/status")
    if status.exists():  # where ru_maxrss counts what the parent held before exec
        peak = int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    moment = found.statistics["second"]
    return seconds, peak, int(moment.count[0]), float(moment.mean[0])

first = run(min(int(sys.argv[1]), 100_000))
print(json.dumps([first, run(int(sys.argv[1]))]))
"""


def run(paths: int):
    """Of 100,000 paths and of `paths`: CPU seconds, peak in MiB, count and mean."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(paths)],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def rows(protocol: Protocol) -> list[Row]:
    paths = 1_000 if protocol.tiny else 10_000_000
    (_, before, _, _), (seconds, peak, count, mean) = run(paths)
    if count != paths or not 0.5 < mean < 1.5:
        raise RuntimeError(f"{count} paths with second moment {mean}")
    grown = peak / before
    return [
        Row(
            CASE,
            f"peak of {paths:,} paths",
            "MiB",
            peak,
            ratio=Ratio(grown, grown, grown),
            target=1.2,
            note="ratio to the peak of 100,000 paths in the same process, imports "
            f"included; {1e-6 * 100 * paths / seconds:.0f} M steps/s",
        )
    ]
