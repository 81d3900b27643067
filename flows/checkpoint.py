"""Long runs on disk: written piece by piece, taken up again where they ended."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import re
import zipfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flows.door import require_whole
from flows.errors import BadInput
from flows.types import is_traced

_HEADER = "run.json"
_FORMAT = 1
_SHOWN = 8  # entries up to which an array is written out in the header
_DEPTH = 12
_PARTS = ("loop", "rows", "aux")


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Where `iterate` writes a run, and how often.

        iterate(..., steps=10_000, checkpoint=Checkpoint("run", every=500))

    The same line again takes the run up after the last piece that was written; with
    more `steps` it goes on. The folder holds `run.json` (what runs, in words) and a
    file `steps-<from>-<to>.npz` a piece: its states, what the steps showed, and all
    that the loop carries at its end. A piece is written under another name, synced and
    then renamed, so that a crash leaves whole pieces only. No code is stored. A run
    that was taken up equals the uninterrupted run of the same pieces bit for bit, on
    one machine and one version of jax.

    Attributes:
        path: the folder, made where it is missing.
        every: steps a piece (rounded up to whole blocks of `save`); None for a
            twentieth of the run, or what the folder was begun with.
    """

    path: Any
    every: Any = None

    def __post_init__(self):
        if not isinstance(self.path, str | os.PathLike):
            raise BadInput(
                "checkpoint is the path of a folder, or flows.Checkpoint(path, "
                f"every=<steps>); got {self.path!r:.60}."
            )
        if self.every is not None:
            require_whole("every", self.every)


class Piece(NamedTuple):
    """Steps up to `stop`: the loop then, rows with their start in front, and aux."""

    stop: int
    loop: Any
    rows: Any
    aux: Any


def _digest(*arrays: Any) -> str:
    found = hashlib.sha256()
    for array in arrays:
        a = np.ascontiguousarray(_plain(array))
        found.update(f"{a.dtype}{a.shape}".encode())
        found.update(a.tobytes())
    return found.hexdigest()[:16]


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(
        leaf.dtype, jax.dtypes.prng_key
    )


def _plain(leaf: Any) -> np.ndarray:
    """A leaf as numpy's array; a random key as its words."""
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def _restored(array: np.ndarray, like: Any) -> Any:
    """The leaf again, of the type of `like` (numpy knows no bfloat16 on disk)."""
    if _is_key(like):
        return jax.random.wrap_key_data(
            jnp.asarray(array), impl=jax.random.key_impl(like)
        )
    if array.dtype.kind == "V":
        array = array.view(like.dtype)
    return jnp.asarray(array)


def described(value: Any, name: str, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Name and value, in words, of everything that a model or a scheme is made of.

    Arrays of more than a few entries appear by their digest; functions by their name
    and what they close over. Memory addresses never appear.
    """
    if depth > _DEPTH:
        return
    if eqx.is_array(value) or isinstance(value, np.generic):
        yield name, _array(value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield name, type(value).__qualname__
        for field in dataclasses.fields(value):
            inner = getattr(value, field.name, None)
            yield from described(inner, f"{name}.{field.name}", depth + 1)
    elif isinstance(value, dict):
        for key, inner in sorted(value.items(), key=lambda item: str(item[0])):
            yield from described(inner, f"{name}[{key!r}]", depth + 1)
    elif isinstance(value, list | tuple):
        for label, inner in zip(_labels(value), value, strict=True):
            yield from described(inner, f"{name}{label}", depth + 1)
    elif isinstance(value, functools.partial):
        parts = (value.func, value.args, value.keywords)
        yield from described(parts, f"{name}.partial", depth + 1)
    elif callable(value):
        yield from _function(value, name, depth)
    else:
        yield name, re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def _array(value: Any) -> str:
    a = _plain(value)
    if a.size == 1:
        return f"{a.reshape(-1)[0]!s}"
    entries = f" {a.tolist()}" if a.size <= _SHOWN else ""
    return f"{a.dtype}{list(a.shape)}{entries} sha256 {_digest(a)}"


def _labels(value: Any) -> list[str]:
    fields = getattr(value, "_fields", None)
    return (
        [f".{f}" for f in fields] if fields else [f"[{i}]" for i in range(len(value))]
    )


def _function(value: Any, name: str, depth: int) -> Iterator[tuple[str, str]]:
    title = getattr(value, "__qualname__", type(value).__qualname__)
    yield name, f"{getattr(value, '__module__', '')}.{title}"
    code = getattr(value, "__code__", None)
    for label, cell in zip(
        getattr(code, "co_freevars", ()),
        getattr(value, "__closure__", None) or (),
        strict=False,
    ):
        try:
            inner = cell.cell_contents
        except ValueError:  # not yet assigned
            continue
        if inner is not value:
            yield from described(inner, f"{name}({label})", depth + 1)


@eqx.filter_jit
def _loss(dynamics, y):
    return dynamics.objective.value(dynamics.position(y))


def _account(scheme, dynamics, y0, t0, h, noise, save) -> dict[str, str]:
    """What makes a run the run it is, by name; `steps` is no part of it."""
    lines = dict(described(scheme, "scheme"))
    lines |= dict(described(dynamics, "dynamics"))
    lines |= dict(described(y0, "y0"))
    lines["t0"], lines["save"] = str(float(t0)), str(save)
    lines["h"] = str(float(h)) if np.ndim(h) == 0 else "one step size a step"
    lines["noise"] = "none" if noise is None else "given"
    if hasattr(getattr(dynamics, "objective", None), "value"):
        # a loss whose code has changed keeps its name
        lines["loss at the start"] = f"{float(_loss(dynamics, y0)):.12e}"
    return lines


class Pieces:
    """The pieces of one run in its folder.

    Attributes:
        every: steps a piece.
    """

    def __init__(self, checkpoint, scheme, dynamics, y0, t0, h, noise, save, every):
        self.folder = pathlib.Path(checkpoint.path)
        self._h, self._noise, self._whole = h, noise, save == "last"
        account = _account(scheme, dynamics, y0, t0, h, noise, save)
        if self.folder.exists() and not self.folder.is_dir():
            raise BadInput(f"the checkpoint {self.folder} is a file; give a folder.")
        self.folder.mkdir(parents=True, exist_ok=True)
        header = self.folder / _HEADER
        if not header.exists():
            if any(self.folder.glob("steps-*.npz")):
                raise BadInput(
                    f"{self.folder} holds pieces of a run without {_HEADER}."
                )
            self.every = checkpoint.every or every
            text = {"format": _FORMAT, "every": self.every, "run": account}
            _write(header, json.dumps(text, indent=1).encode())
            return
        text = _account_in(header)
        self._require_same(text["run"], account)
        self.every = checkpoint.every or int(text["every"])

    def _require_same(self, there: dict[str, str], here: dict[str, str]) -> None:
        for name in [*there, *(n for n in here if n not in there)]:
            a, b = there.get(name, "absent"), here.get(name, "absent")
            if a == b or (name.startswith("loss") and _close(a, b)):
                continue
            raise BadInput(
                f"the checkpoint {self.folder} belongs to another run: {name} is "
                f"{a:.120} there and {b:.120} here. Give another folder, or the same "
                "arguments to take that run up."
            )

    def _part(self, start: int, stop: int) -> str:
        """Digest of the step sizes and the noise of some steps."""
        h = self._h if np.ndim(self._h) == 0 else self._h[start:stop]
        return _digest(h, *[a[start:stop] for a in jax.tree.leaves(self._noise)])

    def write(self, start: int, stop: int, loop: Any, rows: Any, aux: Any) -> None:
        """Write the piece of steps `start` to `stop`, with the loop at its end."""
        arrays = {"part": np.asarray(self._part(start, stop))}
        for name, tree in zip(_PARTS, (loop, rows, aux), strict=True):
            for i, leaf in enumerate(jax.tree.leaves(tree)):
                arrays[f"{name}-{i}"] = _plain(leaf)
        _write(self.folder / f"steps-{start:09d}-{stop:09d}.npz", arrays)

    def read(
        self, loop: Any, like: Callable[[], Any], steps: int, block: int
    ) -> list[Piece]:
        """The pieces in order, up to `steps`.

        Args:
            loop: an example of the loop, for structure and types.
            like: gives examples of (rows, aux); called where there is a piece.
            steps: of the run. A piece that goes beyond is cut, where it can be.
            block: steps a row.
        """
        found, done, shapes = [], 0, None
        while done < steps:
            names = sorted(self.folder.glob(f"steps-{done:09d}-*.npz"))
            if self._whole:  # the last state alone: a piece cannot be cut
                names = [n for n in names if _stop(n) <= steps]
            if not names:
                break
            shapes = shapes or like()
            stop = _stop(names[-1])
            try:
                arrays = _arrays(names[-1])
                after, rows, aux = (
                    _tree(arrays, name, example)
                    for name, example in zip(_PARTS, (loop, *shapes), strict=True)
                )
            except (zipfile.BadZipFile, OSError, ValueError, KeyError, EOFError) as e:
                raise BadInput(
                    f"{names[-1]} cannot be read ({e}). Delete it: the run is then "
                    f"taken up at step {done}."
                ) from None
            if stop <= steps and str(arrays["part"]) != self._part(done, stop):
                raise BadInput(
                    f"the checkpoint {self.folder} belongs to another run: step sizes "
                    f"or noise of steps {done} to {stop} are other ones here."
                )
            if stop > steps:
                n, stop = (steps - done) // block, steps
                rows = jax.tree.map(lambda a, n=n: a[: n + 1], rows)
                aux = jax.tree.map(lambda a, n=n: a[:n], aux)
            found.append(Piece(stop, after, rows, aux))
            done = stop
        return found


def _stop(path: pathlib.Path) -> int:
    return int(path.stem.split("-")[2])


def _arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
    with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
        return dict(file)


def open_pieces(checkpoint: Any, *run: Any, every: int) -> Pieces | None:
    """The pieces of a run in its folder; None where there is to be none.

    Args:
        checkpoint: a folder, a `Checkpoint` or None.
        run: scheme, dynamics, y0, t0, h, noise and what is saved, as for `iterate`.
        every: steps a piece, where the checkpoint does not say.

    Raises:
        BadInput: the folder holds another run, or the call is traced.
    """
    if checkpoint is None:
        return None
    if is_traced(run):
        raise BadInput("a checkpoint is for a run outside jit, vmap and grad.")
    if not isinstance(checkpoint, Checkpoint):
        checkpoint = Checkpoint(checkpoint)
    return Pieces(checkpoint, *run, every=every)


def _account_in(header: pathlib.Path) -> dict[str, Any]:
    try:
        text = json.loads(header.read_text())
        if text["format"] == _FORMAT:
            return text
    except (ValueError, KeyError, TypeError):
        pass
    raise BadInput(f"{header} is no account of a run that can be read.")


def _close(a: str, b: str) -> bool:
    try:
        return bool(np.isclose(float(a), float(b), rtol=1e-9, atol=0.0))
    except ValueError:
        return False


def _tree(arrays: dict[str, np.ndarray], name: str, like: Any) -> Any:
    leaves, structure = jax.tree.flatten(like)
    new = [_restored(arrays[f"{name}-{i}"], leaf) for i, leaf in enumerate(leaves)]
    if f"{name}-{len(leaves)}" in arrays:
        raise ValueError(f"more leaves of {name} than this run has")
    return jax.tree.unflatten(structure, new)


def _write(path: pathlib.Path, content: bytes | dict[str, np.ndarray]) -> None:
    """All of the file or nothing of it: written aside, synced, renamed."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(aside, "wb") as file:
            if isinstance(content, bytes):
                file.write(content)
            else:
                np.savez(file, **content)  # pyright: ignore
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
