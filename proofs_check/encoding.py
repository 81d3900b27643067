"""Values as JSON can hold them, and back."""

from __future__ import annotations

import math
from enum import Enum
from typing import Any


def encode(value: Any) -> Any:
    """A value as JSON can hold it.

    Infinities and NaN become the strings "inf", "-inf", "nan"; arrays become nested
    lists; complex numbers pairs {"re", "im"}; an object with `to_json` what
    that gives; anything unknown its text.

    Args:
        value: numbers, arrays, mappings, sequences, enums, relations, expressions.

    Returns:
        None, bool, int, float, str, list or dict, nested.
    """
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, complex):
        return {"re": encode(value.real), "im": encode(value.imag)}
    if hasattr(value, "to_json"):
        return encode(value.to_json())
    if isinstance(value, dict) or hasattr(value, "keys"):
        return {str(k): encode(value[k]) for k in value}
    if hasattr(value, "tolist"):
        return encode(value.tolist())
    if isinstance(value, (list, tuple)):
        return [encode(v) for v in value]
    return str(value)


def decode(value: Any) -> Any:
    """Inverse of `encode` for numbers, lists and dictionaries (arrays stay lists)."""
    if value in ("inf", "-inf", "nan"):
        return float(value)
    if isinstance(value, list):
        return [decode(v) for v in value]
    if isinstance(value, dict):
        if set(value) == {"re", "im"}:
            return complex(decode(value["re"]), decode(value["im"]))
        return {k: decode(v) for k, v in value.items()}
    return value
