"""Strict jax for every test: float64, no silent promotion of dtypes or ranks."""

import jax

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

from jaxtyping import install_import_hook  # noqa: E402

for package in ("flows", "sde", "discretize", "proofs_check"):
    install_import_hook(package, "beartype.beartype")

import matplotlib  # noqa: E402

matplotlib.use("Agg")
