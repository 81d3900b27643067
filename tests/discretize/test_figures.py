"""The register of figures, and what every figure has to show for itself."""

import matplotlib
import numpy as np
import pytest

from discretize import figures
from flows import BadInput
from flows.drawing import Numbers

matplotlib.use("Agg")


def test_numbers_hold_arrays_and_say_what_to_see():
    numbers = Numbers("What to see.", h=[0.1, 0.2], error=[1.0, 2.0, 3.0])
    assert list(numbers) == ["h", "error"]
    assert "What to see." in repr(numbers)
    frame = numbers.to_dataframe()
    assert frame["error"].tolist() == [1.0, 2.0, 3.0]
    assert np.isnan(frame["h"].iloc[-1])


def test_a_figure_is_rendered_with_its_caption(tmp_path):
    import matplotlib.pyplot as plt

    @figures.figure
    def a_line():
        fig, ax = plt.subplots()
        ax.plot([0, 1])
        return fig, Numbers("A line.", y=[0, 1])

    try:
        path = figures.render("a_line", tmp_path)
        assert path.stat().st_size > 1000
        assert path.with_suffix(".txt").read_text() == "A line.\n"
        with pytest.raises(BadInput, match="no figure"):
            figures.render("another", tmp_path)
    finally:
        del figures.FIGURES["a_line"]


def test_figures_are_functions_of_the_package_by_name():
    names = figures.discover()
    assert len(names) >= 15
    for name in names:
        # a module of the same name would hide the function
        assert getattr(figures, name) is figures.FIGURES[name], name
        assert figures.FIGURES[name].__doc__
    assert set(names) <= set(dir(figures))
    with pytest.raises(AttributeError, match="principal_flow"):
        figures.prinzipal_flow  # noqa: B018
