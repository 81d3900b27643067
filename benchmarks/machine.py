"""The machine: one core, one thread, and what a result has to say about it.

Nothing here imports jax: both settings count only before that.
"""

import os
import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = (
    "flowtheory",
    "jax",
    "jaxlib",
    "diffrax",
    "equinox",
    "optax",
    "numpy",
    "sympy",
)


def pin(core: int | None = None) -> int | None:
    """Keep this process and its children on one core (the last one it may use).

    XLA's own thread flags do not limit its CPU backend; `NPROC` and affinity do.

    Returns:
        The core, or None where the system has no affinity to set.
    """
    os.environ["NPROC"] = "1"
    if not hasattr(os, "sched_setaffinity"):
        return None
    core = max(os.sched_getaffinity(0)) if core is None else core
    os.sched_setaffinity(0, {core})
    return core


def cpu_model() -> str:
    """The processor's name."""
    try:
        with open("/proc/cpuinfo") as file:
            names = [line for line in file if line.startswith("model name")]
        return names[0].split(":", 1)[1].strip()
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


def description(core: int | None) -> dict[str, str]:
    """Processor, system, versions."""
    found = {"processor": cpu_model(), "system": platform.system()}
    found["core"] = "not pinned" if core is None else str(core)
    if hasattr(os, "getloadavg"):
        found["load at the start"] = f"{os.getloadavg()[0]:.1f}"
    found["python"] = platform.python_version()
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
