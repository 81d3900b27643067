"""Pure rules from numbers to evidence, one module a relation.

No rule simulates, draws or solves anything, so each is tested on synthetic numbers
for false alarms and for power.
"""

from proofs_check.decide.bound import lower_bound, upper_bound
from proofs_check.decide.critical import LEVEL
from proofs_check.decide.equal import enclosure, equal, evidence_of, ladder, within
from proofs_check.decide.exact import exact, relative_distance, rounding_allowance
from proofs_check.decide.identity import identity
from proofs_check.decide.law import law, law_sample_size, same_law
from proofs_check.decide.mean import (
    batch_mean,
    mean,
    median_of_means,
    proportion,
    replica_mean,
    sample_moments,
)
from proofs_check.decide.measurement import Measurement
from proofs_check.decide.order import leading_constant, order, strong_order
from proofs_check.decide.sdp import SdpSolution, sdp
from proofs_check.decide.threshold import GrowthRate, bracket_ends, threshold
from proofs_check.decide.weak import mean_errors, weak_order

__all__ = [
    "LEVEL",
    "GrowthRate",
    "Measurement",
    "SdpSolution",
    "batch_mean",
    "bracket_ends",
    "enclosure",
    "equal",
    "evidence_of",
    "exact",
    "identity",
    "ladder",
    "law",
    "law_sample_size",
    "leading_constant",
    "lower_bound",
    "mean",
    "mean_errors",
    "median_of_means",
    "order",
    "proportion",
    "relative_distance",
    "replica_mean",
    "rounding_allowance",
    "same_law",
    "sample_moments",
    "sdp",
    "strong_order",
    "threshold",
    "upper_bound",
    "weak_order",
    "within",
]
