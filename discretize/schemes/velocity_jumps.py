"""Splittings of the samplers by velocity jumps: drift, bounces, refreshment."""

from discretize.schemes.splitting import Splitting

DBD = Splitting("D 1/2, B, D 1/2")
"""Half a drift, the turns with the position at rest, half a drift: weak order 2.

For `sde.ZigZag`; no bound on a rate is needed, and one gradient a step, at the middle.
Reference: Bertazzi, Dobson and Monmarché, "Piecewise deterministic sampling with
splitting schemes", JMLR 26, 2025, arXiv 2301.02537.
"""

RDBDR = Splitting("R 1/2, D 1/2, B, D 1/2, R 1/2")
"""`DBD` between two half refreshments, for `sde.BouncyParticle` and `sde.Boomerang`.

Reference: as `DBD`.
"""
