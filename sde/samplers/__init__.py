"""Sampling by velocity jumps: Zig-Zag, bouncy particle, boomerang."""

from sde.samplers.boomerang import Boomerang as Boomerang
from sde.samplers.bouncy import BouncyParticle as BouncyParticle
from sde.samplers.velocity import VelocityJumps as VelocityJumps
from sde.samplers.zigzag import ZigZag as ZigZag
