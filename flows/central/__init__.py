"""Central flows: optimisers at the edge of stability, averaged over oscillations."""
