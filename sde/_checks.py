"""Doors: what constructors of models, and readers of ensembles, accept."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flows.errors import BadInput
from flows.types import is_traced


def require_positive(name: str, value: Any, *, zero: bool = False) -> None:
    """Refuse a concrete parameter that is not positive and finite.

    Args:
        name: the parameter, as the user wrote it.
        value: number or array; a tracer or a symbol passes.
        zero: whether zero is accepted too.

    Raises:
        BadInput: not positive (or not finite).
    """
    if is_traced(value) or np.asarray(value).dtype == object:
        return
    numbers = np.asarray(value)
    good = numbers >= 0 if zero else numbers > 0
    if not np.all(good & np.isfinite(numbers)):
        sign = "nonnegative" if zero else "positive"
        raise BadInput(f"{name} is {sign} and finite; got {value}.")


def is_concrete(*values: Any) -> bool:
    """Whether no leaf is a tracer or a symbol, so that numbers can be looked at."""
    return not any(
        is_traced(leaf) or np.asarray(leaf).dtype == object
        for leaf in jax.tree.leaves(values)
    )


def value_of(what: str, fn: Any, y: Any) -> Any:
    """The abstract value of a function on one state.

    Args:
        what: the function, as the subject of a sentence.
        fn: the function.
        y: the state, abstract.

    Raises:
        BadInput: what is no function of such a state, or returns no real array.
    """
    try:
        value = eqx.filter_eval_shape(fn, y)
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise BadInput(
            f"{what} is no function of one state like {y}: {error}"
        ) from error
    if isinstance(value, int | float):
        value = jax.eval_shape(lambda: jnp.asarray(value))
    if not hasattr(value, "shape"):
        raise BadInput(f"{what} returns no array, but {value!r:.60}.")
    if jnp.issubdtype(value.dtype, jnp.complexfloating):
        raise BadInput(
            f"{what} returns complex numbers: take real and imaginary parts apart."
        )
    return value


def require_saved(at: Any, times: int) -> None:
    """Refuse what is no index of a saved time.

    Raises:
        BadInput: with the number of times and the value.
    """
    whole = isinstance(at, int | np.integer) and not isinstance(at, bool)
    if not whole or not -times <= at < times:
        raise BadInput(
            f"at is the index of one of {times} saved times; got {at!r:.60}."
        )


def require_scheme(process: Any, scheme: Any) -> None:
    """Refuse a scheme that the process cannot be stepped by, where it says so.

    Raises:
        BadInput: of the process's own `require_scheme`.
    """
    refuse = getattr(process, "require_scheme", None)
    if refuse is not None:
        refuse(scheme)


def require_label(name: str, value: Any, labels: int, *, drawn: bool = False) -> None:
    """Refuse what is no label in {0, ..., N-1}, or no array of them.

    Indexing with another number would take the nearest label's loss, and say nothing.

    Args:
        name: what is looked at, as the subject of a sentence.
        value: an integer or an array of integers; of a tracer the type alone is seen.
        labels: the number N of labels.
        drawn: whether None is accepted, for a label that is then drawn.

    Raises:
        BadInput: with the range and the value.
    """
    if value is None and drawn:
        return
    dtype = getattr(value, "dtype", None) or np.asarray(value).dtype
    whole = jnp.issubdtype(dtype, jnp.integer)
    if whole and (
        is_traced(value)
        or np.all((np.asarray(value) >= 0) & (np.asarray(value) < labels))
    ):
        return
    rest = ", or None, and it is drawn" if drawn else ""
    raise BadInput(
        f"{name} is an integer in {{0, ..., {labels - 1}}}{rest}; got {value!r:.60}."
    )


def require_vectors(process: Any, y: Any, kind: Any, fields: tuple[str, ...]) -> None:
    """Refuse a state of another class, or of vectors that are not the objective's.

    Args:
        process: a model with an `objective`.
        y: one state, or states with one leading axis, the same in all vectors.
        kind: the state's class; None for any with these fields.
        fields: the names of its vectors.

    Raises:
        BadInput: with the state that is wanted.
    """
    n, name = process.objective.size, type(process).__name__
    right = isinstance(y, kind) if kind else all(hasattr(y, f) for f in fields)
    vectors = [getattr(y, field) for field in fields] if right else []
    shapes = {np.shape(a) for a in vectors}
    dtypes = [getattr(a, "dtype", None) for a in vectors]
    floats = all(d is not None and jnp.issubdtype(d, jnp.floating) for d in dtypes)
    shape = min(shapes, default=())
    if not floats or len(shapes) != 1 or len(shape) > 2 or shape[-1:] != (n,):
        wanted = kind.__name__ if kind else "state"
        raise BadInput(
            f"{name} starts from a {wanted} whose {' and '.join(fields)} hold {n} "
            f"floats (its objective has {n} parameters); got {y!r:.80}."
        )


def require_switching_state(process: Any, y: Any, *, drawn: bool = False) -> None:
    """Refuse what is no state of a switching process.

    Args:
        process: a `sde.switching.Switching`.
        y: one state, or states with a leading axis; one label may serve all of them.
        drawn: whether the label may be None, for one that is then drawn.

    Raises:
        BadInput: a state of another class, vectors of another length or without
            floats, a label out of {0, ..., N-1}.
    """
    kind = process.state_type
    fields = ("position",) if kind is None else kind._fields[:-1]
    require_vectors(process, y, kind, fields)
    label = getattr(y, "label", None)
    if label is None and not drawn:
        raise BadInput(
            f"the label of a start of {type(process).__name__} is an integer in "
            f"{{0, ..., {process.labels - 1}}}; got None. sde.simulate_skeletons and "
            "sde.draw_skeleton draw it from the stationary law of the index."
        )
    require_label("the label of a start", label, process.labels, drawn=drawn)
    shape = () if label is None else np.shape(label)
    if shape not in ((), np.shape(y.position)[:-1]):
        raise BadInput(
            f"one label serves all paths, or one a path; got shape {shape} "
            f"with positions of shape {np.shape(y.position)}."
        )
