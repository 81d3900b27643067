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
