"""Other ways to simulate the double well by tamed Euler, each written with care.

dX = (X - X³) dt + √(2/β) dW, β = 4, from X = 1, with the drift b/(1 + h|b|), h = 0.01.
Every function returns the states at the last step, float64, shape [paths].
"""

import ctypes
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

H, BETA = 0.01, 4.0
SCALE = float(np.sqrt(2 * H / BETA))


def tamed(x):
    b = x - x**3
    return b / (1 + H * jnp.abs(b))


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def scan(key, paths: int, steps: int, resolution: str):
    """One key a step, normals of the named resolution."""

    def body(x, k):
        xi = jax.random.normal(jax.random.fold_in(key, k), x.shape, resolution)
        return x + H * tamed(x) + SCALE * xi.astype(x.dtype), None

    return jax.lax.scan(body, jnp.ones(paths), jnp.arange(steps))[0]


def numpy_in_place(paths: int, steps: int):
    """Nothing is allocated in the loop; the fastest of NumPy's generators."""
    rng = np.random.Generator(np.random.SFC64(0))
    x, xi, b, a = np.ones(paths), *np.empty((3, paths))
    for _ in range(steps):
        rng.standard_normal(out=xi)
        np.multiply(x, x, out=b)
        np.subtract(1, b, out=b)
        np.multiply(b, x, out=b)
        np.abs(b, out=a)
        np.multiply(a, H, out=a)
        np.add(a, 1, out=a)
        np.multiply(b, H, out=b)
        np.divide(b, a, out=b)
        np.add(x, b, out=x)
        np.multiply(xi, SCALE, out=xi)
        np.add(x, xi, out=x)
    return x


def c_loops():
    """(resolution -> function of paths and steps), or why there is none."""
    compiler = shutil.which("gcc")
    if compiler is None:
        return "no gcc here"
    source = Path(__file__).with_name("ensemble_limit.c")
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / "limit.so"
        unlinked = Path(folder) / "limit.o"
        compiled = ["-O3", "-march=native", "-ffast-math", "-fPIC", "-c", str(source)]
        # Linked apart: with -ffast-math the linker adds code that turns subnormal
        # numbers off in the whole process, for every contender.
        linked = ["-shared", str(unlinked), "-o", str(built), "-lmvec", "-lm"]
        for arguments in ([*compiled, "-o", str(unlinked)], linked):
            done = subprocess.run(
                [compiler, *arguments], capture_output=True, check=False
            )
            if done.returncode:
                return "gcc builds no vector functions here"
        library = ctypes.CDLL(str(built))

    def run(resolution: str, paths: int, steps: int):
        x = np.ones(paths)
        getattr(library, f"run_{resolution}")(
            x.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_long(paths),
            ctypes.c_long(steps),
            ctypes.c_double(H),
            ctypes.c_double(SCALE),
            ctypes.c_uint64(1),
        )
        return x

    return {r: functools.partial(run, r) for r in ("float64", "float32")}


@functools.partial(jax.jit, static_argnums=(1, 2, 3, 4))
def diffrax_euler(key, paths: int, steps: int, tree: bool, vmapped: bool):
    """`diffrax.diffeqsolve` in its fastest mode, batched in the state or vmapped."""
    import diffrax
    import lineax

    def solve(key, x):
        shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
        if tree:
            path = diffrax.VirtualBrownianTree(0.0, H * steps, H / 2, shape, key)
        else:
            path = diffrax.UnsafeBrownianPath(shape, key)

        def diffusion(t, x, args):
            return lineax.DiagonalLinearOperator(jnp.full_like(x, np.sqrt(2 / BETA)))

        terms = diffrax.MultiTerm(
            diffrax.ODETerm(lambda t, x, args: tamed(x)),
            diffrax.ControlTerm(diffusion, path),
        )
        return diffrax.diffeqsolve(
            terms,
            diffrax.Euler(),
            0.0,
            H * steps,
            H,
            x,
            adjoint=diffrax.ForwardMode(),
            max_steps=None,
        ).ys[-1]

    if not vmapped:
        return solve(key, jnp.ones(paths))
    return jax.vmap(solve)(jax.random.split(key, paths), jnp.ones((paths, 1))).ravel()
