"""The table of correspondences. A new optimiser is one row in a module here."""

from __future__ import annotations

from typing import Any

from discretize.rows.adaptive import ADAM, RMSPROP, SCALAR_RMSPROP
from discretize.rows.damped import DAMPED_ROWS
from discretize.rows.derived_losses import DERIVED_LOSS_ROWS
from discretize.rows.first_order import FIRST_ORDER_ROWS
from discretize.rows.gradient import HEAVY_BALL, SGD
from discretize.rows.inertial import INERTIAL_ROWS
from discretize.rows.langevin import LANGEVIN_ROWS
from discretize.rows.modified import MODIFIED_ROWS
from discretize.rows.nesterov import NESTEROV_ROWS
from discretize.rows.residual import MOMENTUM_RESNET
from discretize.rows.weight_normalised import WEIGHT_NORMALISED_ROWS
from discretize.schemes import Splitting, TamedEuler

ROWS = (
    SGD,
    HEAVY_BALL,
    *DAMPED_ROWS,
    *INERTIAL_ROWS,
    MOMENTUM_RESNET,
    ADAM,
    RMSPROP,
    SCALAR_RMSPROP,
    *FIRST_ORDER_ROWS,
    *MODIFIED_ROWS,
    *NESTEROV_ROWS,
    *WEIGHT_NORMALISED_ROWS,
    *DERIVED_LOSS_ROWS,
    *LANGEVIN_ROWS,
)


def correspondences() -> Any:
    """The table of rows: optimiser, dynamics, scheme, relation, conventions."""
    from flows.display import Table

    rows = []
    for row in ROWS:
        scheme = row.scheme_at(_stand_in(row))
        scheme = "the flow itself" if scheme is None else _scheme_name(scheme)
        model = _model_name(row)
        conventions = "; ".join(row.conventions)
        rows.append((row.name, model, scheme, str(row.relation), conventions))
    columns = ("optimiser", "dynamics", "scheme", "relation", "conventions")
    return Table(columns, rows)


def _scheme_name(scheme):
    if isinstance(scheme, Splitting):
        inner = f", {type(scheme.inner).__name__} inside" if scheme.inner else ""
        return f"splitting {scheme}{inner}"
    if isinstance(scheme, TamedEuler):
        return f"TamedEuler, {type(scheme.taming).__name__}"
    return type(scheme).__name__


def _stand_in(row):
    return {**dict.fromkeys(row.required, 0.5), **row.defaults}


def _model_name(row):
    from flows.problems import quadratic

    return type(row.dynamics(quadratic([1.0]), _stand_in(row))).__name__
