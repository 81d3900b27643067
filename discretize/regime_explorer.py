"""The regime map with sliders, for notebooks."""

from __future__ import annotations

import io
from typing import Any

from flows import BadInput
from flows.door import require_number


def regime_explorer(
    *, friction: float = 1.0, hessian_damping: float = 0.1, step: float = 0.05
) -> Any:
    """Regime maps that follow sliders for α, β and γ, in a notebook.

    The maps are those of `figures.regime_map`, drawn anew when a slider is let go. γ
    moves the dashed line in the map of steps, which reaches as far as the line.

    Args:
        friction: α at first, from 0.1 to 10.
        hessian_damping: β at first, from 0.01 to 10.
        step: γ at first, from 0.001 to 10.

    Returns:
        A widget of ipywidgets; its `children` are the three sliders and the picture.

    Raises:
        BadInput: ipywidgets is missing, or a first value that is no number, or out of
            its slider's range.
    """
    widgets = _widgets()

    def slider(value: Any, low: float, name: str) -> Any:
        require_number(name, value)
        if not 10.0**low <= value <= 10.0:
            raise BadInput(
                f"{name} starts from {10.0**low:g} to 10; got {value!r:.60}."
            )
        return widgets.FloatLogSlider(
            value=value,
            min=low,
            max=1.0,
            step=0.01,
            description=name,
            continuous_update=False,
        )

    sliders = {
        "friction": slider(friction, -1.0, "friction α"),
        "hessian_damping": slider(hessian_damping, -2.0, "damping β"),
        "step": slider(step, -3.0, "step γ"),
    }
    # An image, and no Output widget: an Output widget sends what it shows back to the
    # kernel, and a cell that is run without a browser then loses its reply at times.
    picture = widgets.Image(format="png", layout={"max_width": "100%"})

    def draw(_: Any = None) -> None:
        picture.value = _draw(**{name: s.value for name, s in sliders.items()})

    for one in sliders.values():
        one.observe(draw, names="value")
    draw()
    return widgets.VBox([*sliders.values(), picture])


def _widgets() -> Any:
    try:
        import ipywidgets
    except ImportError:
        raise BadInput(
            "the explorer needs ipywidgets: pip install 'flowtheory[notebook]'; "
            "figures.regime_map draws the same without sliders."
        ) from None
    return ipywidgets


def _draw(friction: float, hessian_damping: float, step: float) -> bytes:
    """One map, as a PNG."""
    import matplotlib.pyplot as plt

    from discretize.figures.inertial_regimes import regime_map

    fig, _ = regime_map(friction=friction, hessian_damping=hessian_damping, step=step)
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=110)
    plt.close(fig)
    return buffer.getvalue()
