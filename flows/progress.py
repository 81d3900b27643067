"""Signs of life: a notice while compiling, a bar on long runs."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import Any


def _shows() -> bool:
    """Whether somebody watches: a terminal, or a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


@contextlib.contextmanager
def compiling(what: str, *, after: float = 1.5, show: bool | None = None) -> Iterator:
    """Say "compiling ..." on stderr if the body takes longer than `after` seconds.

    Args:
        what: what is being compiled and run.
        after: seconds of silence granted.
        show: True or False; None asks whether somebody watches.
    """
    if not (_shows() if show is None else show):
        yield
        return
    message = f"compiling {what} …"

    def speak():
        sys.stderr.write(f"{message}\n")
        sys.stderr.flush()

    timer = threading.Timer(after, speak)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def bar(total: int, what: str, unit: str) -> Iterator[Any]:
    """A tqdm bar whose label says "compiling" until the first update."""
    from tqdm.auto import tqdm

    class Bar(tqdm):
        def update(self, n=1):
            self.set_description_str(what, refresh=False)
            return super().update(n)

    with Bar(total=total, unit=unit, desc=f"compiling {what}") as shown:
        yield shown
