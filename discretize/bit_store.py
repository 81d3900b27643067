"""Exactly reversible multiplication of whole numbers by a ratio below 1.

A floating-point velocity that is multiplied by γ < 1 loses information. In fixed point
the lost part of c n/d, about log₂(d/n) bits, is kept in a store, a whole number of
several words for each entry, from which the division later takes it back.

Reference: Maclaurin, Duvenaud and Adams, "Gradient-based Hyperparameter Optimization
through Reversible Learning", ICML 2015, arXiv 1502.03492 (algorithm 3).
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, UInt16

from flows.door import require_whole
from flows.errors import BadInput

WORD = 16
"""Bits of a word; a product of two and a carry fit into uint32."""
LARGEST = 1000
"""Largest denominator of a ratio: one multiplication is off by less than this many
units of the fixed point."""

Store = UInt16[Array, "words ..."]


class Kept(NamedTuple):
    """A whole number, and what its multiplications have left over.

    Attributes:
        value: c, integers of any shape.
        store: the remainders as one whole number for each entry of c, in words of 16
            bits, lowest first, shape [words, *shape of c].
    """

    value: Int[Array, "..."]
    store: Store


def as_ratio(momentum: Any) -> Fraction:
    """γ as the ratio n/d of whole numbers that it is, 0 < n < d <= 1000.

    Args:
        momentum: a `Fraction`, or a float such as 0.9 that is one to rounding.

    Raises:
        BadInput: any other number; the message names the nearest ratio.
    """
    try:
        exact = Fraction(momentum if isinstance(momentum, Fraction) else str(momentum))
    except (ValueError, TypeError, ZeroDivisionError):
        raise BadInput(
            f"momentum is a ratio such as 0.9 or Fraction(9, 10); got {momentum!r:.60}."
        ) from None
    ratio = exact.limit_denominator(LARGEST)
    near = abs(ratio - exact) <= Fraction(1, 10**15)
    if not (0 < exact < 1 and near):
        raise BadInput(
            "exact inversion takes a momentum in (0, 1) that is a ratio of whole "
            f"numbers up to {LARGEST}, such as 0.9; got {momentum!r:.60} (nearest: "
            f"{ratio})."
        )
    return ratio


def words_for(ratio: Fraction, multiplications: int) -> int:
    """Words that hold the store after so many multiplications, whatever the values.

    A store i becomes at most (d i + d - 1)/n, rounded down.
    """
    require_whole("multiplications", multiplications, 0)
    n, d = ratio.numerator, ratio.denominator
    most = 0
    for _ in range(multiplications):
        most = (d * most + d - 1) // n
    # one multiplication holds d times the store before it divides
    return max(1, -(-(d * most + d).bit_length() // WORD))


def empty_store(words: int, shape: tuple[int, ...]) -> Store:
    """A store of 0 for each entry."""
    return jnp.zeros((words, *shape), jnp.uint16)


def multiply(kept: Kept, ratio: Fraction) -> Kept:
    """Multiply by n/d, up to d units; the store takes what that lost.

    With r = c mod d: the store i becomes (d i + r) div n, and its remainder the low
    part of the new value n (c div d) + (d i + r) mod n.
    """
    n, d = ratio.numerator, ratio.denominator
    return _exchange(kept, d, n)


def divide(kept: Kept, ratio: Fraction) -> Kept:
    """The value and the store before `multiply`: bit for bit."""
    n, d = ratio.numerator, ratio.denominator
    return _exchange(kept, n, d)


def _exchange(kept: Kept, taken: int, given: int) -> Kept:
    """Move a digit of base `taken` into the store and one of base `given` out of it."""
    value, store = kept
    digit = (value % taken).astype(jnp.uint32)
    store = _times_plus(store, taken, digit)
    store, digit = _divided(store, given)
    return Kept((value // taken) * given + digit.astype(value.dtype), store)


def _times_plus(store: Any, factor: int, digit: Any) -> Any:
    """Store · factor + digit, from the lowest word up; the last carry is 0."""

    def word(carry, low):
        total = low.astype(jnp.uint32) * np.uint32(factor) + carry
        return total >> np.uint32(WORD), total.astype(jnp.uint16)

    return jax.lax.scan(word, digit, store)[1]


def _divided(store: Any, divisor: int) -> tuple[Any, Any]:
    """Store div divisor and store mod divisor, from the highest word down."""

    def word(rest, low):
        total = (rest << np.uint32(WORD)) | low.astype(jnp.uint32)
        quotient = total // np.uint32(divisor)
        return total - quotient * np.uint32(divisor), quotient.astype(jnp.uint16)

    rest, store = jax.lax.scan(
        word, jnp.zeros(store.shape[1:], jnp.uint32), store, reverse=True
    )
    return store, rest


def stored_bits(store: Store) -> np.ndarray:
    """log₂(1 + i) for each entry's store i: how many bits it holds.

    Args:
        store: shape [words, ...].

    Returns:
        Bits, shape [...].
    """
    words = np.asarray(store).astype(object)  # Python's whole numbers, of any size
    found = sum(word << (WORD * k) for k, word in enumerate(words))
    return np.vectorize(lambda i: math.log2(1 + i), otypes=[float])(found)
