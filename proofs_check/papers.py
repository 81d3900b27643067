"""Papers that many claims speak of: title and authors written once."""

from __future__ import annotations

from proofs_check.claim import Source


def central_flows(location: str) -> Source:
    """Cohen et al., ICLR 2025, arXiv 2410.24206, with the place that is meant."""
    return Source(
        title="Understanding Optimization in Deep Learning with Central Flows",
        authors="Jeremy M. Cohen, Alex Damian, Ameet Talwalkar, J. Zico Kolter and "
        "Jason D. Lee",
        year=2025,
        arxiv="2410.24206",
        location=location,
    )
