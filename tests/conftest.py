"""Strict jax for every test: float64, no silent promotion of dtypes or ranks."""

import pathlib
import sys

import jax

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

from jaxtyping import install_import_hook  # noqa: E402

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import strict  # noqa: E402

strict.spare_what_is_unannotated()
for package in strict.packages():
    install_import_hook(package, "strict.checked")

import matplotlib  # noqa: E402

matplotlib.use("Agg")

from left_out import (  # noqa: E402, F401
    pytest_deselected,
    pytest_sessionfinish,
    pytest_terminal_summary,
    pytest_testnodedown,
)
