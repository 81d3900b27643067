"""The step at which something first happens."""

from __future__ import annotations

from typing import Any

import numpy as np


def first_hit(reached: Any) -> np.ndarray:
    """The index of the first True along the last axis, infinite where there is none.

    A median of these is right as long as fewer than half are infinite.

    Args:
        reached: truth values, shape [..., steps].

    Returns:
        Floats of shape [...].
    """
    reached = np.asarray(reached, bool)
    if reached.shape[-1] == 0:
        return np.full(reached.shape[:-1], np.inf)
    return np.where(reached.any(axis=-1), np.argmax(reached, axis=-1), np.inf)
