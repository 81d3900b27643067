"""Random dynamics: diffusions, jump processes, noise, ensembles."""

from sde.diffusion import Diffusion as Diffusion
from sde.diffusion import NoisyPart as NoisyPart
from sde.ensemble import Ensemble as Ensemble
from sde.ensemble import Estimate as Estimate
from sde.ensemble import Moments as Moments
from sde.ensemble import Statistics as Statistics
from sde.langevin import LangevinState as LangevinState
from sde.langevin import OrnsteinUhlenbeck as OrnsteinUhlenbeck
from sde.langevin import OverdampedLangevin as OverdampedLangevin
from sde.langevin import UnderdampedLangevin as UnderdampedLangevin
from sde.noise import Noise as Noise
from sde.noise import draw_noise as draw_noise
from sde.simulate import simulate as simulate

__distribution__ = "flowtheory"
