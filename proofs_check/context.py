"""What a check is given: its random streams, effort, delta, parameters, a cache."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, TypeVar

import numpy as np

from flows.errors import BadInput
from proofs_check import sampling
from proofs_check.decide import LEVEL, Measurement, evidence_of
from proofs_check.evidence import Equal, Evidence, Grade, Real, Relation

Effort = Literal["quick", "full"]
T = TypeVar("T")


def stream_words(claim: str, check: str, stream: str) -> tuple[int, ...]:
    """The eight 32-bit words of SHA-256(claim/check/stream), in UTF-8.

    Args:
        claim: the claim's id.
        check: name of the route or control.
        stream: name of the stream within the check.

    Returns:
        Eight integers below 2**32, the first the most significant.
    """
    digest = hashlib.sha256(f"{claim}/{check}/{stream}".encode()).digest()
    return tuple(int.from_bytes(digest[4 * i : 4 * i + 4], "big") for i in range(8))


class Parameters(Mapping[str, Any]):
    """A claim's parameters, read as `parameters["eta"]` or `parameters.eta`."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __getattr__(self, name: str) -> Any:
        values = self.__dict__.get("_values", {})
        if name not in values:
            known = ", ".join(sorted(values)) or "none"
            raise AttributeError(f"no parameter {name!r}; the claim declares: {known}")
        return values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Parameters({self._values})"


class Context:
    """What the functions of a claim are called with.

    Random streams are a function of the names alone: SHA-256 of claim/check/stream,
    folded with the run's seed and a chunk number. Chunks have a fixed size, so that
    jobs, devices and order change nothing, and quick runs take the first chunks of
    full ones. Varied parameters do not enter: the same noise at every value.

    Attributes:
        claim: id of the claim.
        check: name of the route or control.
        effort: "quick" or "full".
        seed: the run's seed.
        delta: relative error that the check must be able to detect.
        alpha: level of the check, 1e-9.
        expected: in a control, the wrong value that it must find.
        parameters: the claim's parameters, varied ones with their value of this run.
        relation: what the claim declares of its measured value, or None.
        unit: unit of the claim's measured value.
        cache: dictionary for compiled functions, kept with the claim.
    """

    alpha: float = LEVEL
    expected: Any = None

    def __init__(
        self,
        claim: str,
        check: str = "main",
        *,
        effort: Effort = "quick",
        seed: int = 0,
        delta: Real = 0.01,
        parameters: Mapping[str, Any] | None = None,
        relation: Any = None,
        unit: str = "",
        cache: dict[Any, Any] | None = None,
    ) -> None:
        self.claim = claim
        self.check = check
        self.effort: Effort = require_effort(effort)
        self.seed = require_word("seed", seed)
        self.delta = float(delta)
        self.parameters = Parameters(parameters or {})
        self.relation = relation
        self.unit = unit
        self.cache: dict[Any, Any] = {} if cache is None else cache

    @property
    def full(self) -> bool:
        """Whether the effort is full."""
        return self.effort == "full"

    def choose(self, quick: T, full: T) -> T:
        """The first value in quick runs, the second in full ones."""
        return full if self.full else quick

    def rng(self, stream: str = "main", chunk: int = 0) -> np.random.Generator:
        """A numpy generator for one chunk of a named stream.

        Args:
            stream: name of the stream; "pilot" and "main" differ.
            chunk: number of the chunk, from 0.

        Returns:
            A generator (Philox) that depends on nothing else.
        """
        words = stream_words(self.claim, self.check, stream)
        entropy = [*words, self.seed, require_word("chunk", chunk)]
        return np.random.Generator(np.random.Philox(np.random.SeedSequence(entropy)))

    def key(self, stream: str = "main", chunk: int = 0) -> Any:
        """A jax key (threefry, whatever the default is) for one chunk of a stream.

        Args:
            stream: name of the stream.
            chunk: number of the chunk, from 0.

        Returns:
            A typed key of shape [].
        """
        import jax
        import jax.numpy as jnp

        words = stream_words(self.claim, self.check, stream)
        data = np.asarray(words[:2], dtype=np.uint32)
        key = jax.random.wrap_key_data(jnp.asarray(data), impl="threefry2x32")
        key = jax.random.fold_in(key, np.uint32(self.seed))
        return jax.random.fold_in(key, np.uint32(require_word("chunk", chunk)))

    def compiled(self, name: Any, build: Callable[[], T]) -> T:
        """What `build` returns, built once for the claim under this name.

        A compiled function kept here must take everything that varies (parameters,
        step sizes, keys) as arguments.
        """
        if name not in self.cache:
            self.cache[name] = build()
        return self.cache[name]

    @property
    def stream(self) -> str:
        """The check's name in the seeds, "claim/check"."""
        return f"{self.claim}/{self.check}"

    def mean(
        self,
        sample: Callable[[int, int], Any],
        claimed: Relation | Real | None = None,
        **options: Any,
    ) -> Evidence:
        """A Monte-Carlo mean against its claim (see `sampling.sample_mean`).

        A control runs to the end, so that its wrong value is measured to delta; where
        it expects "diverged", samples that are not finite are that outcome.

        Args:
            sample: (seed, n) -> n independent samples, shape [n].
            claimed: relation or value (default: what the claim declares).
            **options: bias, control_means, effort, unit, route, note, data and so on.

        Returns:
            The evidence, graded `estimated`.
        """
        defaults: dict[str, Any] = {
            "stream": self.stream,
            "seed": self.seed,
            "delta": self.delta,
            "alpha": self.alpha,
            "unit": self.unit,
            "stop_early": self.expected is None,
        }
        if self.expected == "diverged":
            defaults["nonfinite"] = "diverged"
        relation: Any = self._claimed(claimed)
        return sampling.sample_mean(relation, sample, **{**defaults, **options})

    def equal(
        self,
        measurement: Measurement,
        claimed: Relation | Real | None = None,
        **about: Any,
    ) -> Evidence:
        """A measurement against a value, bound or range, at the context's delta.

        Args:
            measurement: see `decide.ladder`, `decide.enclosure`, `decide.mean`.
            claimed: relation or value (default: what the claim declares).
            **about: unit, route, note, data, quantity.

        Returns:
            The evidence.
        """
        relation: Any = self._claimed(claimed)
        about = {"unit": self.unit, **about}
        return evidence_of(
            relation, measurement, delta=self.delta, alpha=self.alpha, **about
        )

    def diverged(
        self, claimed: Relation | Real | None = None, **about: Any
    ) -> Evidence:
        """The evidence of a run that left every bound: measured value +∞.

        Only a control that expects "diverged" counts it as caught.
        """
        return Evidence(
            relation=self._claimed(claimed),
            measured=np.inf,
            interval=(np.inf, np.inf),
            detectable=0.0,
            delta=self.delta,
            **{"grade": Grade.MEASURED, "unit": self.unit, **about},
        )

    def _claimed(self, claimed: Relation | Real | None) -> Relation:
        claimed = self.relation if claimed is None else claimed
        if claimed is None:
            raise BadInput(
                f"the claim {self.claim} declares no relation: give `claimed`, a value "
                "or a relation such as UpperBound(2.0)"
            )
        return claimed if isinstance(claimed, Relation) else Equal(float(claimed))


def require_effort(effort: str) -> Any:
    """The effort, or `BadInput` where it is neither "quick" nor "full"."""
    if effort not in ("quick", "full"):
        raise BadInput(f"effort is 'quick' or 'full', not {effort!r}")
    return effort


def require_word(name: str, value: int) -> int:
    """A whole number that fits 32 bits, or `BadInput`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise BadInput(f"{name} must be a whole number, not {value!r}")
    if not 0 <= value < 2**32:
        raise BadInput(f"{name} must lie in [0, 2**32), not {value}")
    return int(value)
