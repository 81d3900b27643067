"""The process that runs claims: precision, device, compilation cache, versions."""

from __future__ import annotations

import importlib
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from flows._version import __version__
from flows.errors import BadInput, WrongDistribution

DISTRIBUTION = "flowtheory"
PACKAGES = ("flows", "sde", "discretize", "proofs_check")
_PLATFORMS = {"cpu": "cpu", "gpu": "cuda"}


def require_own_packages(names: tuple[str, ...] = PACKAGES) -> None:
    """Refuse packages of our names that another distribution installed.

    Args:
        names: import names to look at.

    Raises:
        WrongDistribution: naming the package and the file that was imported.
    """
    for name in names:
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as missing:
            raise WrongDistribution(
                f"the package {name!r} of {DISTRIBUTION} is not importable "
                f"({missing}); install {DISTRIBUTION} in an environment of its own"
            ) from missing
        if getattr(module, "__distribution__", None) != DISTRIBUTION:
            raise WrongDistribution(
                f"the package {name!r} comes from {_where(module)}, which is not part "
                f"of {DISTRIBUTION}: another distribution installs that name. Give "
                f"{DISTRIBUTION} an environment of its own"
            )


def _where(module: Any) -> str:
    paths = list(getattr(module, "__path__", []))
    return getattr(module, "__file__", None) or (paths[0] if paths else "nowhere")


def cache_directory() -> Path:
    """Where compiled programs are kept: $XDG_CACHE_HOME or ~/.cache, flowtheory/jax."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / DISTRIBUTION / "jax"


def prepare_process(device: str | None = None) -> None:
    """Set jax up as an entry point does: float64, device, compilation cache.

    Only entry points call this: the packages leave `jax.config` to their caller.

    Args:
        device: "cpu", "gpu", or None for jax's own choice.

    Raises:
        BadInput: the device is unknown, or jax finds none of that kind.
        WrongDistribution: see `require_own_packages`.
    """
    import jax

    require_own_packages()
    jax.config.update("jax_enable_x64", True)
    if device is not None:
        _choose(device)
    jax.config.update("jax_compilation_cache_dir", str(cache_directory()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _choose(device: str) -> None:
    import jax

    if device not in _PLATFORMS:
        raise BadInput(f"device is 'cpu' or 'gpu', not {device!r}")
    jax.config.update("jax_platforms", _PLATFORMS[device])
    try:
        found = jax.devices()
    except RuntimeError as absent:
        raise BadInput(f"jax finds no device of the kind {device!r}") from absent
    if (found[0].platform == "cpu") != (device == "cpu"):
        raise BadInput(
            f"jax runs on {found[0].platform} already; the device {device!r} must be "
            "asked for before jax is first used"
        )


def describe(effort: str | None = None, seed: int | None = None) -> dict[str, Any]:
    """What a run depends on besides its code.

    Args:
        effort: the run's effort, if it had one.
        seed: the run's seed.

    Returns:
        Versions of Python, flowtheory, jax, diffrax, optax and sympy; device,
        precision, effort, seed.
    """
    import jax
    import jax.numpy as jnp

    device = jax.devices()[0]
    versions = {name: _version(name) for name in ("jax", "diffrax", "optax", "sympy")}
    return {
        "python": platform.python_version(),
        DISTRIBUTION: __version__,
        **versions,
        "device": f"{device.platform}: {device.device_kind}",
        "precision": str(jnp.asarray(0.0).dtype),
        "effort": effort,
        "seed": seed,
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
