"""How fast the packages are beside the same computation written by hand.

    python -m benchmarks            measure and print
    python -m benchmarks --write    also write benchmarks/RESULTS.md

One core, one thread, float64. Contenders take turns, so that load on the machine meets
both; what counts is the median of their ratios in CPU time.
"""
