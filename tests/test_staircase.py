"""What the four packages promise as a whole: names, docstrings, imports, sizes."""

import ast
import importlib
import inspect
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = ("flows", "sde", "discretize", "proofs_check")
FILES = sorted(
    path
    for folder in (*PACKAGES, "tests", "benchmarks", "examples")
    for path in (ROOT / folder).rglob("*.py")
)


def public_names(package):
    """The names that an `__init__` exports with `X as X`, or by `__all__`."""
    tree = ast.parse((ROOT / package / "__init__.py").read_text())
    return [
        alias.asname
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname
    ]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_has_a_docstring(package):
    module = importlib.import_module(package)
    assert module.__doc__
    assert module.__distribution__ == "flowtheory"
    names = public_names(package)
    assert names
    bare = []
    for name in names:
        thing = getattr(module, name)
        if inspect.isclass(thing):
            own = thing.__dict__.get("__doc__")
            bare += [] if own else [name]
            bare += [f"{name}.{m}" for m in undocumented_methods(thing)]
        elif callable(thing) and not inspect.getdoc(thing):
            bare.append(name)
    assert not bare


def undocumented_methods(cls):
    """Public functions and properties written in our own class body."""
    for name, member in vars(cls).items():
        if name.startswith("_"):
            continue
        function = member.fget if isinstance(member, property) else member
        if inspect.isfunction(function) and not inspect.getdoc(member):
            yield name


def test_an_undocumented_method_is_seen():
    class Bare:
        def method(self): ...

        @property
        def documented(self):
            """It is."""

    assert list(undocumented_methods(Bare)) == ["method"]


@pytest.mark.parametrize("package", PACKAGES)
def test_public_names_are_listed_once(package):
    names = public_names(package)
    assert len(names) == len(set(names))


def run_python(code):
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


WATCH = """
import sys, jax
before = {name: getattr(jax.config, name, None) for name in jax.config.values}
import flows, sde, discretize
heavy = {"sympy", "matplotlib", "pandas", "xarray", "sklearn"} & set(sys.modules)
changed = [n for n, v in before.items() if getattr(jax.config, n, None) != v]
print(sorted(heavy), changed)
"""


def test_importing_is_light_and_leaves_jax_alone():
    """Neither sympy, matplotlib nor pandas, and no flag of jax's configuration."""
    done = run_python(WATCH)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[] []"


@pytest.mark.slow
def test_the_watch_sees_a_heavy_import():
    done = run_python(WATCH.replace("import flows", "import sympy, flows", 1))
    assert done.stdout.strip() == "['sympy'] []", done.stderr


@pytest.mark.slow
def test_the_watch_sees_a_changed_flag():
    line = 'jax.config.update("jax_enable_x64", True); import flows'
    done = run_python(WATCH.replace("import flows", line, 1))
    assert done.stdout.strip() == "[] ['jax_enable_x64']", done.stderr


def imported_packages(path):
    """Our own packages that a module imports, wherever the import stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        else:
            continue
        yield from (name.split(".")[0] for name in names)


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_imports_only_those_above_it(package):
    allowed = set(PACKAGES[: PACKAGES.index(package) + 1])
    for path in (ROOT / package).rglob("*.py"):
        below = set(imported_packages(path)) & set(PACKAGES) - allowed
        assert not below, f"{path.relative_to(ROOT)} imports {sorted(below)}"


def test_no_file_is_longer_than_400_lines():
    long = {
        str(path.relative_to(ROOT)): lines
        for path in FILES
        if (lines := len(path.read_text().splitlines())) > 400
    }
    assert not long


def body_lines(node):
    """Lines of a function, its docstring excluded."""
    lines = node.end_lineno - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node) is not None:
        lines -= first.end_lineno - first.lineno + 1
    return lines


def test_no_function_is_longer_than_60_lines():
    long = {
        f"{path.relative_to(ROOT)}:{node.name}": lines
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := body_lines(node)) > 60
    }
    assert not long


def test_a_long_function_is_seen():
    code = 'def f():\n    """' + "\n" * 70 + '"""\n' + "    pass\n" * 61
    (node,) = ast.parse(code).body
    assert body_lines(node) == 62
