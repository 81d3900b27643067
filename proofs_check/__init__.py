"""Claims of the papers, the evidence for and against them, and reports."""

from proofs_check.claim import Claim as Claim
from proofs_check.claim import Control as Control
from proofs_check.claim import Hypothesis as Hypothesis
from proofs_check.claim import Route as Route
from proofs_check.claim import Source as Source
from proofs_check.claim import claim as claim
from proofs_check.claims import discover as discover
from proofs_check.context import Context as Context
from proofs_check.evidence import Equal as Equal
from proofs_check.evidence import Evidence as Evidence
from proofs_check.evidence import Exact as Exact
from proofs_check.evidence import Grade as Grade
from proofs_check.evidence import Identity as Identity
from proofs_check.evidence import Law as Law
from proofs_check.evidence import LowerBound as LowerBound
from proofs_check.evidence import Order as Order
from proofs_check.evidence import Range as Range
from proofs_check.evidence import Relation as Relation
from proofs_check.evidence import Threshold as Threshold
from proofs_check.evidence import UpperBound as UpperBound
from proofs_check.evidence import Verdict as Verdict
from proofs_check.registry import Registry as Registry
from proofs_check.registry import UnknownClaim as UnknownClaim
from proofs_check.registry import claims as claims
from proofs_check.report import write_report as write_report
from proofs_check.result import ClaimResult as ClaimResult
from proofs_check.result import Variation as Variation
from proofs_check.run import check as check

__distribution__ = "flowtheory"
