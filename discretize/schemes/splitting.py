"""Splittings: words over the named parts of a model."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import equinox as eqx

from flows import BadInput, Draw, Part, Scheme, Step

Letter = tuple[str, Fraction]


def parse(word: str) -> tuple[Letter, ...]:
    """Letters of a word such as "B 1/2, A 1/2, O, A 1/2, B 1/2".

    Raises:
        BadInput: an empty word or something that is no fraction.
    """
    letters = []
    for token in word.split(","):
        pieces = token.split()
        try:
            weight = (
                Fraction(pieces[1].replace("½", "1/2")) if pieces[1:] else Fraction(1)
            )
            letters.append((pieces[0], weight))
        except (IndexError, ValueError, ZeroDivisionError):
            raise BadInput(
                f"cannot read {token!r} in the word {word!r}; a letter is a part's "
                'name and a fraction of the step: "B 1/2, A 1/2, O, A 1/2, B 1/2".'
            ) from None
    return tuple(letters)


class Splitting(Scheme):
    r"""A word over the parts of a model: e^{w₁hL₁} e^{w₂hL₂} ⋯ applied left to right.

    Each letter (name, weight) runs that part's exact map for weight·h. Parts without
    an exact map are stepped once by `inner`. The clock moves with the part that
    carries the time, so the later letters of a step see the later time.

    Attributes:
        word: letters (name, weight), or a string such as "A 1/2, B, A 1/2"; the
            weights of each part sum to 1.
        inner: scheme for parts without an exact map, or None.
    """

    word: tuple[Letter, ...] = eqx.field(static=True, converter=lambda w: _letters(w))
    inner: Scheme | None = None

    def parts_of(self, dynamics: Any) -> dict[str, Part]:
        """Letter -> part of a model, once the word was found to fit it.

        Raises:
            BadInput: letters that are no parts of the model, weights of a part that do
                not sum to 1, or a part without an exact map and no inner scheme.
        """
        parts, joint = dict(dynamics.parts()), dict(dynamics.joint_parts())
        letters = {name: {**parts, **joint}.get(name) for name, _ in self.word}
        sums: dict[str, Fraction] = {}
        for name, weight in self.word:
            for each in joint[name].joins if name in joint else (name,):
                sums[each] = sums.get(each, Fraction(0)) + weight
        if set(sums) != set(parts):
            also = f" (and {sorted(joint)} for sums of them)" if joint else ""
            raise BadInput(
                f"the word {self} speaks of the parts {sorted(sums)}; "
                f"{type(dynamics).__name__} has {sorted(parts) or 'none'}{also}."
            )
        wrong = {name: str(s) for name, s in sums.items() if s != 1}
        if wrong:
            raise BadInput(f"the weights of each part sum to 1; got {wrong}.")
        known = {name: part for name, part in letters.items() if part is not None}
        if self.inner is None:
            lost = [name for name in known if not known[name].has_exact]
            if lost:
                raise BadInput(
                    f"parts {lost} have no exact map: name an inner scheme for them, "
                    "e.g. Splitting(word, inner=Euler())."
                )
        return known

    def noise_like(self, dynamics, y):
        """A list with one entry a letter: None, or what that part draws."""
        parts = self.parts_of(dynamics)
        draws: list[Draw | None] = [parts[name].noise_like(y) for name, _ in self.word]
        return draws if any(d is not None for d in draws) else None

    def step(self, dynamics, t, y, h, noise, carry) -> Step:
        """One step of size h."""
        parts = self.parts_of(dynamics)
        noise = noise if noise is not None else [None] * len(self.word)
        for (name, weight), xi in zip(self.word, noise, strict=True):
            part = parts[name]
            span = h * weight.numerator / weight.denominator if weight != 1 else h
            if part.has_exact:
                y = part.exact(t, y, span, xi)
            else:
                assert self.inner is not None  # by parts_of
                y = self.inner.step(part, t, y, span, None, None).y
            if part.advances_time:
                t = t + span
        return Step(y, carry)

    def __str__(self) -> str:
        return ", ".join(n if w == 1 else f"{n} {w}" for n, w in self.word)


def _letters(word: Any) -> tuple[Letter, ...]:
    if isinstance(word, str):
        return parse(word)
    return tuple((str(name), Fraction(weight)) for name, weight in word)


def lie(*parts: str, inner: Scheme | None = None) -> Splitting:
    """Lie's splitting: each part once, for the whole step. Order 1."""
    return Splitting(tuple((p, Fraction(1)) for p in parts), inner)


def strang(*parts: str, inner: Scheme | None = None) -> Splitting:
    """Strang's splitting: half steps inwards, a whole one, half steps out. Order 2."""
    if len(parts) < 2:
        raise BadInput("Strang's splitting needs two parts or more.")
    half = [(p, Fraction(1, 2)) for p in parts[:-1]]
    return Splitting((*half, (parts[-1], Fraction(1)), *reversed(half)), inner)


BAOAB = Splitting("B 1/2, A 1/2, O, A 1/2, B 1/2")
"""Leimkuhler and Matthews' splitting of kinetic Langevin dynamics.

A moves the position, B kicks the velocity, O is the exact Ornstein–Uhlenbeck step. On
a quadratic the position's variance is exact.
Reference: Leimkuhler and Matthews, Appl. Math. Res. Express 2013 (1), 34-56.
"""

ABOBA = Splitting("A 1/2, B 1/2, O, B 1/2, A 1/2")
"""One gradient a step, at the midpoint; exact position variance on a quadratic.

Reference: as `BAOAB`.
"""

OBABO = Splitting("O 1/2, B 1/2, A, B 1/2, O 1/2")
"""Velocity Verlet between two half baths; exact velocity variance on a quadratic.

Reference: Bussi and Parrinello, Physical Review E 75, 2007.
"""

OABAO = Splitting("O 1/2, A 1/2, B, A 1/2, O 1/2")
"""Position Verlet between two half baths; exact velocity variance on a quadratic."""

AOBOA = Splitting("A 1/2, O 1/2, B, O 1/2, A 1/2")
"""One gradient a step, at the midpoint, between friction and drift: order 2.

On a `flows.DampedFlow` it is the symmetric splitting, which sees a mass m(t) at the
step's middle; without friction it is position Verlet.
"""

UBU = Splitting("U 1/2, B, U 1/2")
"""Half a step of free motion with friction and noise, a kick, half a step: order 2.

U is the exact flow of A and O together, so one gradient a step, at the midpoint.
Reference: Sanz-Serna and Zygalakis, JMLR 22(242), 2021.
"""

BUB = Splitting("B 1/2, U, B 1/2")
"""Half a kick, a step of U, half a kick: order 2.

Reference: as `UBU`.
"""

EXACT_EMA = Splitting("EMA, X")
"""Moving averages exactly, then the position: the scheme that optax.adam is."""
