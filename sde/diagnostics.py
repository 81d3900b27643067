"""Effective sample size and R-hat of an ensemble's paths as chains, by ArviZ."""

from __future__ import annotations

import warnings
from typing import Any

import jax
import numpy as np

from flows.door import require_instance, require_whole
from flows.errors import BadInput
from sde.ensemble import Ensemble

_LEAST = 4  # draws a chain; ArviZ answers NaN below


def _arviz() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an announcement on every import
            import arviz
    except ImportError:
        raise BadInput(
            "chain diagnostics need ArviZ: pip install 'flowtheory[diagnostics]'."
        ) from None
    return arviz


def _chains(run: Any, fn: Any, burn_in: int, nonfinite: str) -> np.ndarray:
    """Values of shape [chains, draws, ...]: a path is a chain, a saved time a draw."""
    require_instance(run, Ensemble, "diagnostics take an Ensemble, as simulate's")
    run.refuse_nonfinite(nonfinite)
    times = len(run.times)
    require_whole("burn_in", burn_in, 0, max(times - 1, 0))
    if times - burn_in < _LEAST:
        raise BadInput(
            f"diagnostics need {_LEAST} saved times or more after the burn-in; "
            f"{times} are saved and {burn_in} left out. Simulate with "
            'save="all", or with more times.'
        )
    values = run.values(fn or run.process.position)
    chains = np.moveaxis(np.asarray(values)[burn_in:], 1, 0)
    chains = chains[~run.nonfinite]
    if not len(chains):
        raise BadInput("no path stayed finite.")
    return chains


def _componentwise(chains: np.ndarray, measure: Any) -> np.ndarray:
    """`measure` of [chains, draws] for each component."""
    flat = chains.reshape(*chains.shape[:2], -1)
    found = [float(measure(flat[..., k])) for k in range(flat.shape[-1])]
    return np.array(found).reshape(chains.shape[2:])


def effective_sample_size(
    run: Ensemble,
    fn: Any = None,
    *,
    method: str = "mean",
    burn_in: int = 0,
    nonfinite: str = "raise",
) -> np.ndarray:
    r"""Independent draws that would know as much as all saved states of all paths.

    With M paths of N saved times and an integrated autocorrelation time
    τ = 1 + 2 Σ_{k≥1} ρ_k (in saved times) it estimates M N/τ. Saved times are the
    draws, so they should be evenly spaced; stationarity is up to the burn-in.

    Reference: Vehtari, Gelman, Simpson, Carpenter and Bürkner, Bayesian Analysis
    16(2), 2021, as implemented in ArviZ.

    Args:
        run: an ensemble with states at four times or more.
        fn: function of one state; the position where None.
        method: ArviZ's: "mean" (for the mean of fn), "bulk", "tail", ...
        burn_in: saved times left out at the start.
        nonfinite: "raise", or "drop" the failed paths.

    Returns:
        An array of the function's shape.

    Raises:
        BadInput: ArviZ is missing, too few times, an unknown method.
        NonFiniteState: failed paths and nonfinite="raise".
    """
    arviz = _arviz()
    chains = _chains(run, fn, burn_in, nonfinite)
    try:
        return _componentwise(chains, lambda a: arviz.ess(a, method=method))
    except (TypeError, ValueError, KeyError) as error:
        raise BadInput(f"ArviZ gives no effective sample size: {error}") from None


def r_hat(
    run: Ensemble,
    fn: Any = None,
    *,
    method: str = "rank",
    burn_in: int = 0,
    nonfinite: str = "raise",
) -> np.ndarray:
    """R-hat of the paths as chains: near 1 where they have forgotten their starts.

    Reference: Vehtari, Gelman, Simpson, Carpenter and Bürkner, Bayesian Analysis
    16(2), 2021, as implemented in ArviZ.

    Args:
        run: an ensemble with states at four times or more, of two paths or more.
        fn: function of one state; the position where None.
        method: ArviZ's: "rank", "split", ...
        burn_in: saved times left out at the start.
        nonfinite: "raise", or "drop" the failed paths.

    Returns:
        An array of the function's shape.

    Raises:
        BadInput: ArviZ is missing, too few times or paths, an unknown method.
        NonFiniteState: failed paths and nonfinite="raise".
    """
    arviz = _arviz()
    chains = _chains(run, fn, burn_in, nonfinite)
    if len(chains) < 2:
        raise BadInput("R-hat compares chains: simulate two paths or more.")
    try:
        return _componentwise(chains, lambda a: arviz.rhat(a, method=method))
    except (TypeError, ValueError, KeyError) as error:
        raise BadInput(f"ArviZ gives no R-hat: {error}") from None


def to_arviz(run: Ensemble, *, burn_in: int, nonfinite: str) -> Any:
    """ArviZ's container of the states (see `Ensemble.to_arviz`)."""
    arviz = _arviz()
    named = run.final  # refuses an ensemble without states
    named = named._asdict() if hasattr(named, "_asdict") else {"state": named}
    posterior = {}
    for name in named:

        def leaf(y, name=name):
            return getattr(y, name) if hasattr(y, "_fields") else y

        posterior[name] = _chains(run, leaf, burn_in, nonfinite)
    times = np.asarray(run.times)[burn_in:]
    words = [int(w) for w in np.asarray(jax.random.key_data(run.key))]
    coords = {"draw": times}
    if int(arviz.__version__.split(".")[0]) < 1:
        found = arviz.from_dict(posterior=posterior, coords=coords)
    else:  # from 1.0 on the groups are one argument, and the result is a DataTree
        found = arviz.from_dict({"posterior": posterior}, coords=coords)
    notes = {"process": type(run.process).__name__, "h": run.h, "key": words}
    found.posterior.attrs.update(notes)
    return found
