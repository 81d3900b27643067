"""Run the notebooks (py:percent files) to the end, and keep the outputs.

Any exception in a cell fails the run. Figures and tables are kept in the .ipynb files.
"""

import argparse
import pathlib
import sys
import time

NOTEBOOKS = ("ten_lines.py",)


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
    out = pathlib.Path(parser.parse_args().out)
    out.mkdir(parents=True, exist_ok=True)
    here = pathlib.Path(__file__).parent
    for name in NOTEBOOKS:
        seconds = run(here / name, out)
        print(f"{name}: ran to the end in {seconds:.0f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
