"""The report of a run: one page that needs no network."""

from proofs_check.report.html import write_report

__all__ = ["write_report"]
