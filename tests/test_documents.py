"""What the documents show runs: README blocks in order, and every docstring example."""

import doctest
import importlib
import pathlib
import pkgutil
import re

import jax
import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = ("flows", "sde", "discretize", "proofs_check")


@pytest.mark.slow
def test_readme_blocks_run_in_order(capsys):
    text = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.S)
    assert len(blocks) >= 3
    namespace: dict = {}
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        for block in blocks:
            exec(compile(block, "README.md", "exec"), namespace)
    assert namespace["run"].distance[-1] < 0.1
    assert namespace["path"].end.startswith("reached")
    assert "holds: gradient_flow.heavy-ball-slip" in capsys.readouterr().out


def modules_with_examples():
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if ">>> " in path.read_text():
                yield ".".join(path.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize("name", list(modules_with_examples()))
def test_docstring_examples(name):
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted > 0
    assert found.failed == 0


def test_every_module_imports():
    for package in PACKAGES:
        module = importlib.import_module(package)
        for found in pkgutil.walk_packages(module.__path__, f"{package}."):
            importlib.import_module(found.name)
            assert importlib.import_module(found.name).__doc__, found.name


def test_the_changelog_speaks_of_the_present_version():
    from flows import __version__

    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()
