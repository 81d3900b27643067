"""Signs of life on stderr, and only where somebody watches."""

import sys
import time

import pytest

from flows import progress
from flows.progress import bar, compiling


def test_a_long_silence_is_broken(capsys):
    with compiling("the thing", after=0.01, show=True):
        time.sleep(0.2)
    assert capsys.readouterr().err == "compiling the thing …\n"


def test_a_short_run_says_nothing(capsys):
    with compiling("the thing", after=30.0, show=True):
        pass
    with compiling("the thing", after=0.0, show=False):
        time.sleep(0.05)
    assert capsys.readouterr().err == ""


def test_nothing_is_said_where_nobody_watches(capsys, monkeypatch):
    monkeypatch.setattr(progress, "_shows", lambda: False)
    with compiling("the thing", after=0.0):
        time.sleep(0.05)
    assert capsys.readouterr().err == ""


def test_a_notebook_watches(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipykernel", object())
    assert progress._shows()


def test_the_notice_stops_when_the_body_fails(capsys):
    with pytest.raises(RuntimeError), compiling("the thing", after=0.1, show=True):
        raise RuntimeError
    time.sleep(0.2)
    assert capsys.readouterr().err == ""


def test_the_bar_says_compiling_until_the_first_update(capsys):
    with bar(3, "the thing", "step") as shown:
        assert shown.desc.startswith("compiling the thing")
        shown.update(2)
        assert shown.desc.startswith("the thing")
        assert shown.n == 2
        shown.update()
    assert shown.n == 3
    assert "the thing" in capsys.readouterr().err
