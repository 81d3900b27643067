"""Render every figure to files, each with its caption: `make figures`."""

import argparse
import pathlib
import time

import jax
import matplotlib

jax.config.update("jax_enable_x64", True)
matplotlib.use("Agg")

from discretize import figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, default="out/figures")
    parser.add_argument("--format", default="png", help="png, pdf or svg")
    parser.add_argument("names", nargs="*", help="figures to render (default: all)")
    options = parser.parse_args()
    for name in options.names or figures.discover():
        started = time.perf_counter()
        figures.discover()
        path = figures.render(name, options.out, suffix=options.format)
        print(f"{path}  ({time.perf_counter() - started:.1f} s)", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
