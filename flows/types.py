"""Type aliases that public signatures share, and what a traced value is."""

from __future__ import annotations

from typing import Any, TypeAlias

import jax
import numpy as np
from jax.core import Tracer
from jaxtyping import Array

Scalar: TypeAlias = float | int | np.generic | np.ndarray | Array
"""A real number: Python's, numpy's, or an array of shape () (traced ones too)."""


def is_traced(tree: Any) -> bool:
    """Whether any leaf of a pytree is being traced (by jit, vmap or grad)."""
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(tree))
