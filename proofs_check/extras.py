"""Optional extras: which package belongs to which, what is missing, how to get it."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from flows.errors import BadInput

EXTRAS = {
    "PEPit": "pepit",
    "clarabel": "pepit",
    "sklearn": "digits",
    "xarray": "xarray",
}
"""Import name of a package -> the extra of flowtheory that installs it."""


def require_known(names: Iterable[str]) -> tuple[str, ...]:
    """Packages that belong to an extra, as a tuple.

    Raises:
        BadInput: one that no extra installs, or a text in place of a sequence.
    """
    if isinstance(names, str):
        raise BadInput(f"requires is a sequence of packages: ({names!r},).")
    names = tuple(names)
    for name in names:
        if name not in EXTRAS:
            known = ", ".join(EXTRAS)
            raise BadInput(f"no extra installs {name!r}; accepted are {known}.")
    return names


def missing(names: Iterable[str]) -> tuple[str, ...]:
    """Those of the packages that cannot be imported here; none of them is imported."""
    return tuple(name for name in names if find_spec(name) is None)


def advice(names: Iterable[str]) -> str:
    """What is missing and the line that installs it; empty where nothing is missing.

    Args:
        names: packages, by import name.

    Returns:
        For example "needs PEPit: pip install 'flowtheory[pepit]'".
    """
    absent = missing(names)
    if not absent:
        return ""
    extras = ",".join(dict.fromkeys(EXTRAS[name] for name in absent))
    return f"needs {', '.join(absent)}: pip install 'flowtheory[{extras}]'"
