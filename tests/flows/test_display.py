"""Tables and numbers read the same in the terminal, in Markdown and in HTML."""

import doctest
import math

import jax.numpy as jnp
import numpy as np
import pytest

import flows.display
from flows.display import Table, interval, number, shorten, width_of
from flows.errors import BadInput


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.123456, "0.1235"),
        (1e-9, "1e-9"),
        (-1.5e-7, "-1.5e-7"),
        (2e6, "2e6"),
        (1e10, "1e10"),
        (12345.0, "12345"),
        (0.0, "0"),
        (math.inf, "∞"),
        (-math.inf, "-∞"),
        (math.nan, "NaN"),
        (None, ""),
        (True, "True"),
        (7, "7"),
        (np.float64(0.5), "0.5"),
        ((1.0, 2.0), "[1, 2]"),
        (np.arange(6), "[0, 1, 2, 3, … (6)]"),
        (1 + 2j, "1+2j"),
        ("x", "x"),
    ],
)
def test_a_number_is_short_and_readable(value, text):
    assert number(value) == text


def test_a_jax_scalar_is_a_number():
    assert number(jnp.asarray(0.25)) == "0.25"


def test_an_interval():
    assert interval((0.99, math.inf)) == "[0.99, ∞]"
    assert interval(None) == ""


@pytest.mark.parametrize(
    ("bounds", "text"),
    [
        ((0.9999, 1.0001), "[0.9999, 1.0001]"),
        ((0.99359123, 1.0136123), "[0.9936, 1.014]"),
        ((-1e-8, 2e-8), "[-1e-8, 2e-8]"),
        ((1.0, 1.0), "[1, 1]"),
        ((0.9999999994, 1.0000000006), "1 ± 6e-10"),
    ],
)
def test_an_interval_shows_its_width(bounds, text):
    assert interval(bounds) == text


def test_text_is_cut_by_columns_not_characters():
    assert shorten("stability", 5) == "stab…"
    assert width_of("x̂") == 1
    assert shorten("short", 5) == "short"


def test_lines_fit_the_width_and_keep_the_numbers():
    table = Table(("claim", "value"), [("a" * 100, 0.12345), ("b", 2.0)])
    lines = table.lines(max_width=40)
    assert all(width_of(line) <= 40 for line in lines)
    assert lines[2].endswith("0.1235")
    assert len(table) == 2
    rigid = Table(("a", "b"), [("x" * 50, "y" * 50)]).lines(90, flexible=("b",))
    assert rigid[2].startswith("x" * 50 + "  y")
    assert width_of(rigid[2]) <= 90


def test_html_and_markdown_escape_what_they_show():
    table = Table(("<b>", "a|b"), [("<script>", "x|y")], caption="A & B")
    shown = table._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    assert "A &amp; B" in shown
    assert "x\\|y" in table.to_markdown()
    assert "<script>" not in table.to_markdown()


def test_an_empty_cell_and_an_empty_table():
    assert Table(("a", "b"), [(None, 1.0)]).lines()[2].split() == ["1"]
    assert len(Table(("a",), []).lines()) == 2


def test_a_ragged_row_is_refused():
    with pytest.raises(BadInput, match="row 1 of the table has 1 cells"):
        Table(("a", "b"), [(1, 2), (1,)])


def test_the_example():
    assert doctest.testmod(flows.display).failed == 0
