"""Type aliases that public signatures share."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from jaxtyping import Array

Scalar: TypeAlias = float | int | np.generic | np.ndarray | Array
"""A real number: Python's, numpy's, or an array of shape () (traced ones too)."""
