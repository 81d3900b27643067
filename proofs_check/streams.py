"""Seeds of the chunks of a Monte-Carlo run, and its sizes."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

from flows.errors import BadInput
from proofs_check.relations import Real

TOP_UP = 0.15
MAX_PLANS = 8


def seed_of(stream: str, *, seed: int = 0, chunk: int = 0) -> int:
    """Seed of one chunk: SHA-256 of the stream's name, the seed and the chunk.

    Args:
        stream: "claim/check/stream"; pilot, main run and control differ.
        seed: seed of the whole run.
        chunk: number of the chunk.

    Returns:
        An integer in [0, 2^63), for `jax.random.key` or `numpy.random.default_rng`.
    """
    digest = hashlib.sha256(stream.encode()).digest()
    folded = hashlib.sha256(digest + f"/{seed}/{chunk}".encode()).digest()
    return int.from_bytes(folded[:8], "big") >> 1


@dataclass(frozen=True)
class Effort:
    """Sizes of a Monte-Carlo run, in counts alone.

    Attributes:
        chunk: samples a call; every call asks for this many.
        top_up: fraction of the sample added while D > delta.
        max_plans: cap, in planned sizes.
        max_samples: cap in samples, or None; a check that would need more comes back
            undecided at the cap.
    """

    chunk: int = 4096
    top_up: float = TOP_UP
    max_plans: int = MAX_PLANS
    max_samples: int | None = 2**24

    def __post_init__(self) -> None:
        if self.chunk < 1 or self.max_plans < 1 or self.top_up <= 0:
            raise BadInput("chunk and max_plans are counts >= 1, top_up is positive.")

    def chunks(self, samples: Real) -> int:
        """Number of whole chunks that hold so many samples, at least one."""
        return max(1, math.ceil(samples / self.chunk))

    def cap(self, plan: int) -> int:
        """Largest number of chunks for a plan of so many chunks."""
        cap = self.max_plans * plan
        if self.max_samples is not None:
            cap = min(cap, max(1, self.max_samples // self.chunk))
        return cap
