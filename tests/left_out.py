"""What a run leaves out, told at its end: deselected tests, counted by function.

A pytest plugin; under xdist the processes that run tests hand their lists to the one
that prints.
"""

from collections import Counter

import pytest

LEFT_OUT = pytest.StashKey[set]()


def _left_out(config):
    return config.stash.setdefault(LEFT_OUT, set())


def pytest_deselected(items):
    """Note what `-m` and `-k` leave out."""
    for item in items:
        _left_out(item.config).add(item.nodeid)


def pytest_sessionfinish(session):
    """In a worker: hand the list over."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["left_out"] = sorted(_left_out(session.config))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    """Take the list of a worker that ended."""
    del error
    _left_out(node.config).update(getattr(node, "workeroutput", {}).get("left_out", ()))


def pytest_terminal_summary(terminalreporter, config):
    """One line a function, with the number of its cases."""
    names = Counter(name.partition("[")[0] for name in _left_out(config))
    if names:
        terminalreporter.section("left out (make test-slow runs the larger ones)")
    for name, count in sorted(names.items()):
        terminalreporter.write_line(f"{count:5d} {name}")
