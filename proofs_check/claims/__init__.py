"""The claims of the papers, one module a subject; found when first asked for.

A module below this package needs no entry anywhere: `discover` imports every one,
and the decorator `proofs_check.claim` enters their claims in the registry.
"""

from __future__ import annotations

import importlib
import pkgutil


def discover() -> tuple[str, ...]:
    """Import every module below this package.

    Returns:
        Their names, sorted.

    Raises:
        Exception: whatever an import raises; a claim is never left out silently.
    """
    found = pkgutil.walk_packages(__path__, prefix=f"{__name__}.", onerror=_stop)
    names = sorted(module.name for module in found)
    for name in names:
        importlib.import_module(name)
    return tuple(names)


def _stop(name: str) -> None:
    importlib.import_module(name)
