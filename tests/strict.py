"""The run-time type checker of the test suite, where there is something to check."""

import inspect
import pathlib

import jaxtyping
from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
"""beartype with the numeric tower: an int passes where a float is asked."""


def packages() -> list[str]:
    """The packages that are checked: all but the claims.

    Of a claim's functions one would check that they take a context, at fifteen seconds
    a process; what they call is checked.
    """
    here = pathlib.Path(__file__).parent.parent / "proofs_check"
    names = sorted(p.stem for p in here.iterdir() if p.suffix == ".py" or p.is_dir())
    parts = [n for n in names if not n.startswith("__") and n != "claims"]
    return ["flows", "sde", "discretize", *(f"proofs_check.{n}" for n in parts)]


def spare_what_is_unannotated() -> None:
    """Make jaxtyping's import hook leave functions alone whose hints are all `Any`.

    Nothing of them is checked, but to decorate one takes about a millisecond, for a
    function within a function each time that the outer one runs.
    """
    jaxtyped = jaxtyping.jaxtyped

    def sparing(*args, **kwargs):
        if args:
            return jaxtyped(*args, **kwargs)

        def decorate(fn):
            idle = inspect.isfunction(fn) and not checkable(fn)
            return fn if idle else jaxtyped(fn, **kwargs)

        return decorate

    jaxtyping.jaxtyped = sparing


def checkable(fn) -> bool:
    """Whether a function has a hint other than `Any`."""
    return bool(set(fn.__annotations__.values()) - {"Any"})
