"""One index of each kind, all rung by one clock that speeds up."""

import numpy as np

import flows
import sde

WEIGHTS = np.array([0.5, 0.2, 0.3])
RING = np.array([[-2.0, 2.0, 0.0], [0.0, -1.0, 1.0], [0.5, 0.0, -0.5]])  # one way round
CLOCK = flows.PowerSchedule(0.8, 2.0, 1.5)
INDICES = {
    "never repeat": sde.UniformIndex(4, CLOCK),
    "fresh draw": sde.UniformIndex(4, CLOCK, "fresh_draw"),
    "weighted": sde.WeightedIndex(WEIGHTS, CLOCK),
    "Markov": sde.MarkovIndex(RING, CLOCK),
}
