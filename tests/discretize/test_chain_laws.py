"""The law of a chain by quadrature, against closed forms and scipy's integrals."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from discretize import Clipping, Euler, NormTaming, Splitting, TransitionKernel
from discretize.chain_laws import kernel as kernel_module
from discretize.schemes import TamedEuler
from flows import BadInput, Draw, PrecisionError, Scheme, Step
from flows.problems import double_well
from sde import Diffusion, Gaussian, OrnsteinUhlenbeck, OverdampedLangevin

OU = OrnsteinUhlenbeck(1.0, 0.0, 1.0)
WELL = OverdampedLangevin(double_well(), 1.0)
H = 0.5


@pytest.fixture(scope="module")
def ou():
    return TransitionKernel(Euler(), OU, H, box=(-10.0, 10.0))


def test_the_stationary_law_of_a_linear_chain(ou):
    law = ou.stationary()
    variance = 1 / (1 - H / 2)
    exact = stats.norm(scale=np.sqrt(variance)).pdf(ou.nodes)
    np.testing.assert_allclose(law.density, exact, rtol=1e-9, atol=1e-16)
    assert law.kind == "stationary"
    assert law.leak < 1e-16
    assert law.residual < 1e-14
    expected = stats.norm(scale=np.sqrt(variance)).sf(1.0)
    assert law.probability(1.0) == pytest.approx(expected, abs=1e-12)
    assert law.probability(-np.inf) == pytest.approx(1.0, abs=1e-13)


def test_the_law_of_a_linear_chain_from_a_point_and_from_a_law(ou):
    k = np.arange(1, 8)
    mean, grown = (1 - H) ** k, (1 - (1 - H) ** (2 * k)) / (1 - H / 2)
    seen = ou.expectations(lambda x: x**2, 2.0, 7)
    np.testing.assert_allclose(seen, (2 * mean) ** 2 + grown, rtol=1e-12)
    start = Gaussian(jnp.full(1, 2.0), jnp.full((1, 1), 0.3), nodes=30)
    seen = ou.expectations(lambda x: x**2, start, 7)
    np.testing.assert_allclose(seen, (4 + 0.09) * mean**2 + grown, rtol=1e-12)
    assert ou.survival(start, 1) == pytest.approx(1.0, abs=1e-12)
    p = ou.propagate(2.0, 3)
    again = ou.propagate(p, 4)
    np.testing.assert_allclose(again, ou.propagate(2.0, 7), rtol=1e-12, atol=1e-18)
    assert ou.expect(lambda x: 1.0, p) == pytest.approx(1.0, abs=1e-13)


def test_survival_is_the_iterated_integral_of_the_gaussian():
    """Two steps inside [-1, 1.5], by scipy's quadrature."""
    box, x0 = (-1.0, 1.5), 0.4
    kernel = TransitionKernel(Euler(), OU, H, box=box)

    def stays(x):
        return np.diff(stats.norm.cdf(box, x - H * x, np.sqrt(2 * H)))[0]

    def both(y):
        z = y - x0 + H * x0
        return stays(y) * np.exp(-(z**2) / (4 * H)) / np.sqrt(4 * np.pi * H)

    expected, error = integrate.quad(both, *box, epsabs=1e-10)
    assert error < 1e-9
    assert kernel.survival(x0, 2) == pytest.approx(expected, abs=1e-9)
    assert kernel.survival(x0, 1) == pytest.approx(stays(x0), abs=1e-14)
    mass = kernel.expect(lambda x: 1.0, kernel.propagate(x0, 2))
    assert kernel.survival(x0, 2) == pytest.approx(mass, abs=1e-13)


def test_a_rate_of_escape_is_that_of_the_survival_curve():
    kernel = TransitionKernel(Euler(), OU, H, box=(-1.0, 1.5))
    late = [kernel.survival(0.0, k) for k in (40, 41)]
    assert 1 - late[1] / late[0] == pytest.approx(kernel.escape_rate(), rel=1e-9)


def test_tiny_escape_probabilities_keep_their_digits(ou):
    """One step from 0 out of [-10, 10]: the tail of a normal, 1.5e-23."""
    expected = 2 * stats.norm.sf(10.0)
    assert ou.exit_probability(0.0, 1) == pytest.approx(expected, rel=1e-12)


def test_explosion_needs_a_box_from_which_nothing_returns():
    """Killing at the noise-free threshold R = √(1 + 2/h) overestimates."""
    h, radius = 0.25, 3.0
    wide = radius + 8 * np.sqrt(2 * h)
    kernel = TransitionKernel(Euler(), WELL, h, box=(-wide, wide), resolution=3)
    found = kernel.explosion_probability(0.0, 200)
    tight = TransitionKernel(Euler(), WELL, h, box=(-radius, radius))
    with pytest.raises(BadInput, match="comes back"):
        tight.explosion_probability(0.0, 200)
    killed = tight.exit_probability(0.0, 200)
    assert killed > 1.1 * found
    # whoever lands between the two boxes leaves the wider one a step later
    wider = kernel.widened(1.3)
    early, late = (wider.explosion_probability(0.0, k) for k in (200, 201))
    assert early < found < late
    assert late - early < 0.01 * found
    ladder = kernel.ladder(lambda k: k.explosion_probability(0.0, 200))
    assert abs(ladder[2] - ladder[1]) < 1e-11
    with pytest.raises(BadInput, match="no stationary law"):
        kernel.stationary()
    assert kernel.stationary(quasi=True).kind == "quasi-stationary"


def test_a_box_that_loses_mass_is_refused():
    kernel = TransitionKernel(Euler(), OU, H, box=(-2.0, 2.0))
    with pytest.raises(BadInput, match="take a wider box"):
        kernel.stationary()


def test_the_band_gives_what_the_whole_matrix_gives(monkeypatch):
    box = (-6.0, 6.0)
    whole = TransitionKernel(TamedEuler(), WELL, 0.1, box=box)
    assert whole.matrix.shape == (whole.nodes.size, whole.nodes.size)
    monkeypatch.setattr(kernel_module, "DENSE", 10)
    band = TransitionKernel(TamedEuler(), WELL, 0.1, box=box)
    assert band.matrix.nnz < 0.9 * whole.matrix.size
    np.testing.assert_allclose(band.matrix.toarray(), whole.matrix, atol=1e-30)
    a, b = whole.stationary(), band.stationary()
    np.testing.assert_allclose(a.density, b.density, rtol=1e-9, atol=1e-15)
    assert a.leak == pytest.approx(b.leak, abs=1e-20)


def test_kinks_of_a_clipped_drift_are_resolved():
    """∫ E[cos X₁ | x] π(x) dx for a Gaussian π; scipy is told where the corners lie."""
    h = 0.1
    kernel = TransitionKernel(TamedEuler(Clipping()), WELL, h, box=(-7.0, 7.0))
    p = stats.norm.pdf(kernel.nodes)
    found = kernel.expect(np.cos, kernel.propagate(p, 1))
    (corner,) = (r.real for r in np.roots([1, 0, -1, -1 / np.sqrt(h)]) if r.imag == 0)

    def after(x):
        drift = np.clip(x - x**3, -1 / np.sqrt(h), 1 / np.sqrt(h))
        return np.cos(x + h * drift) * np.exp(-h) * stats.norm.pdf(x)

    pieces = [(-7, -corner), (-corner, corner), (corner, 7)]
    values = [integrate.quad(after, *piece, epsabs=0, epsrel=1e-12) for piece in pieces]
    expected, error = np.sum(values, axis=0)
    assert error < 1e-10
    assert found == pytest.approx(expected, abs=1e-9)


class Spread(Diffusion):
    """dX = -X dt + √(1 + b X²) dB: the second moments of Euler's chain are linear."""

    b: float = 0.25

    def vector_field(self, t, y):
        del t
        return -y

    def brownian(self, y):
        return y.shape[0]

    def noise(self, t, y, dw):
        del t
        return jnp.sqrt(1 + self.b * y**2) * dw


def test_noise_that_depends_on_the_state():
    h, b, second = 0.25, 0.25, 1.0
    kernel = TransitionKernel(Euler(), Spread(b), h, box=(-40.0, 40.0))
    assert "to" in repr(kernel)  # the range of the deviation
    expected = []
    for _ in range(6):
        second = (1 - h) ** 2 * second + h * (1 + b * second)
        expected.append(second)
    seen = kernel.expectations(lambda x: x**2, 1.0, 6)
    np.testing.assert_allclose(seen, expected, rtol=1e-9)


class Squared(Scheme):
    """A step with the square of its normal."""

    def noise_like(self, dynamics, y):
        return Draw("normal", (1,))

    def step(self, dynamics, t, y, h, noise, carry):
        return Step(y + h * noise + h * noise**2, carry)


class Clocked(Squared):
    """A step that looks at the time."""

    def step(self, dynamics, t, y, h, noise, carry):
        return Step((1 - h) * y + t + noise, carry)


class Remembering(Squared):
    """A step with a memory."""

    def init(self, dynamics, t, y):
        return y


class Twice(Squared):
    """Two normals."""

    def noise_like(self, dynamics, y):
        return Draw("normal", (2,))


class Silent(Squared):
    """No noise at the origin."""

    def step(self, dynamics, t, y, h, noise, carry):
        return Step(0.5 * y + y * noise, carry)


@pytest.mark.parametrize(
    ("scheme", "word"),
    [
        (Squared(), "not affine"),
        (Clocked(), "depends on time"),
        (Remembering(), "memory"),
        (Twice(), "one standard normal"),
        (Silent(), "vanishes"),
    ],
)
def test_schemes_whose_law_is_no_gaussian_are_refused(scheme, word):
    with pytest.raises(BadInput, match=word):
        TransitionKernel(scheme, OU, 0.3, box=(-2.0, 2.0))


def test_what_the_kernel_takes(ou):
    with pytest.raises(BadInput, match="nodes"):
        ou.propagate(np.ones(3), 1)
    with pytest.raises(BadInput, match="outside the box"):
        ou.propagate(11.0, 1)
    with pytest.raises(BadInput, match="a < b"):
        TransitionKernel(Euler(), OU, H, box=(1.0, -1.0))
    with pytest.raises(BadInput, match="name the interval"):
        TransitionKernel(Euler(), OU, H)
    with pytest.raises(BadInput, match="more than"):
        cold = eqx.tree_at(lambda m: m.diffusion, OU, jnp.asarray(1e-12))
        TransitionKernel(Euler(), cold, H, box=(-10.0, 10.0))
    many = TransitionKernel(Euler(), OU, H, nodes=300, box=(-10.0, 10.0))
    assert many.nodes.size >= 300


def test_float32_is_refused_with_the_lines_to_paste():
    jax.config.update("jax_enable_x64", False)
    try:
        with pytest.raises(PrecisionError, match="jax_enable_x64"):
            TransitionKernel(Euler(), OU, H, box=(-1.0, 1.0))
    finally:
        jax.config.update("jax_enable_x64", True)


def test_the_exact_transition_is_a_scheme_too():
    kernel = TransitionKernel(Splitting("O"), OU, 1.0, box=(-8.0, 8.0))
    assert kernel.stationary().expect(lambda x: x**2) == pytest.approx(1, abs=1e-12)


def test_taming_gives_the_double_well_a_law():
    kernel = TransitionKernel(TamedEuler(NormTaming()), WELL, 0.1, box=(-8.0, 8.0))
    law = kernel.stationary()
    second = law.expect(lambda x: x**2)
    late = kernel.expectations(lambda x: x**2, 0.0, 300)[-1]
    assert second == pytest.approx(late, abs=1e-10)
    assert law.rounding < 1e-10
