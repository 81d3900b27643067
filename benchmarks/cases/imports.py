"""Import times, in fresh interpreters."""

import os
import sys

import numpy as np

from benchmarks.protocol import Protocol, Row, Samples, compared

CASE = "imports, in fresh interpreters"
OTHER = "import jax, diffrax"


def once(statement: str) -> tuple[float, float]:
    """CPU and wall seconds of an interpreter that runs one statement."""
    import time

    start = time.perf_counter()
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", statement], os.environ)
    _, status, used = os.wait4(pid, 0)
    wall = time.perf_counter() - start
    if status:
        raise RuntimeError(f"{statement!r} failed")
    return used.ru_utime + used.ru_stime, wall


def rows(protocol: Protocol) -> list[Row]:
    """`flows` has a target; the packages above it are reported."""
    ours = ["import flows"]
    if not protocol.tiny:
        ours += ["import sde", "import discretize", "import proofs_check"]
    statements = [OTHER, *ours]
    for statement in statements:
        once(statement)  # writes the byte code, fills the file cache
    taken = np.array(
        [[once(s) for s in statements] for _ in range(min(7, protocol.repeats))]
    )  # [repeats, statements, (cpu, wall)]
    other = Samples(taken[:, 0, 0], taken[:, 0, 1])
    found = []
    for k, statement in enumerate(ours, start=1):
        samples = {"ours": Samples(taken[:, k, 0], taken[:, k, 1]), "other": other}
        target = 1.2 if statement == "import flows" else None
        found.append(compared(CASE, f"{statement}; {OTHER}", samples, target=target))
    return found
