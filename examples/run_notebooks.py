"""Run the notebooks (py:percent files) to the end, and keep the outputs.

Any exception in a cell fails the run. Figures and tables are kept in the .ipynb files.
"""

import argparse
import pathlib
import sys
import time


def notebooks(here: pathlib.Path) -> list[pathlib.Path]:
    """The py:percent files: they begin with jupytext's header."""
    found = sorted(here.glob("*.py"))
    return [p for p in found if p.read_text().startswith("# ---\n# jupyter:")]


def run(source: pathlib.Path, out: pathlib.Path) -> float:
    import jupytext
    import nbformat
    from nbclient import NotebookClient

    notebook = jupytext.read(source)
    started = time.perf_counter()
    client = NotebookClient(notebook, timeout=600, kernel_name="python3")
    client.execute()
    target = out / source.with_suffix(".ipynb").name
    nbformat.write(notebook, target)
    return time.perf_counter() - started


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, default="out/notebooks")
    parser.add_argument("names", nargs="*", help="notebooks to run (default: all)")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    found = notebooks(pathlib.Path(__file__).parent)
    for source in found:
        if options.names and source.stem not in options.names:
            continue
        seconds = run(source, options.out)
        print(f"{source.name}: ran to the end in {seconds:.0f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
