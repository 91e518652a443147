from __future__ import annotations

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from segstudio.core.errors import Cancelled, UserError
from segstudio.refine.api import DEFAULT_BACKEND, available_backends, refine, refined
from segstudio.refine.energy import as_distributions, checked_image, checked_probabilities, unary_energy
from segstudio.refine.params import DEFAULT_PRESET, PRESETS, CrfParams, preset

needs_pydensecrf = pytest.mark.skipif(
    importlib.util.find_spec("pydensecrf") is None, reason="pydensecrf is not installed"
)


@pytest.fixture(params=["native", pytest.param("pydensecrf", marks=needs_pydensecrf)])
def engine(request):
    return request.param


@pytest.fixture
def two_halves():
    rng = np.random.default_rng(0)
    image = np.zeros((40, 50, 3), np.uint8)
    image[:, 25:] = (200, 180, 40)
    foreground = np.full((40, 50), 0.3, np.float32)
    foreground[:, 25:] = 0.7
    foreground[rng.random((40, 50)) < 0.1] = 0.5
    foreground[10:14, 30:34] = 0.2
    return image, np.stack([1 - foreground, foreground])


def test_default_parameters_are_the_deeplab_v2_preset():
    assert preset(DEFAULT_PRESET) == CrfParams()


def test_every_preset_is_valid_and_names_its_source():
    for name, entry in PRESETS.items():
        entry.params.validate()
        assert entry.title, name
        assert entry.source, name


def test_deeplab_v1_msc_has_the_published_values():
    assert preset("deeplabv1-msc") == CrfParams(3, 95, 3, 3, 3, 10)


def test_an_unknown_preset_is_refused_with_the_list_of_names():
    with pytest.raises(UserError, match="deeplabv1-coco"):
        preset("v9")


@pytest.mark.parametrize(
    "change",
    [
        {"bilateral_xy": 0.0},
        {"bilateral_rgb": 0.0},
        {"spatial_xy": -1.0},
        {"bilateral_xy": float("nan")},
        {"spatial_xy": float("inf")},
        {"bilateral_weight": -1.0},
        {"spatial_weight": float("nan")},
        {"iterations": -1},
        {"iterations": 1000},
    ],
)
def test_values_that_crash_the_engine_are_refused(change):
    with pytest.raises(UserError):
        CrfParams(**change).validate()


def test_a_reach_too_short_for_a_huge_image_is_refused():
    params = CrfParams(spatial_xy=0.5)
    params.validate()
    with pytest.raises(UserError, match="too short"):
        params.validate_for(20_000, 20_000)


def test_parameters_survive_json():
    params = CrfParams(5, 21, 3, 4, 1, 7)
    assert CrfParams.from_json({**params.to_json(), "later": 1.0}) == params


def test_pixels_that_are_no_distribution_become_uniform_are_counted_and_leave_the_others_alone():
    probabilities = np.full((4, 3, 3), 0.25, np.float32)
    probabilities[:, 0, 0] = (0.7, 0.1, 0.1, 0.1)
    probabilities[2, 1, 1] = np.nan
    probabilities[1, 2, 2] = -0.5
    probabilities[3, 0, 2] = np.inf
    probabilities[:, 2, 0] = 0
    clean, uniform = as_distributions(probabilities)
    assert uniform == 4
    for y, x in ((1, 1), (2, 2), (0, 2), (2, 0)):
        assert np.allclose(clean[:, y, x], 0.25)
    assert np.allclose(clean[:, 0, 0], (0.7, 0.1, 0.1, 0.1))


def test_checking_leaves_the_input_untouched():
    probabilities = np.full((2, 3, 3), 3.0, np.float32)
    probabilities.flags.writeable = False
    clean, _ = as_distributions(checked_probabilities(probabilities, 3, 3))
    assert np.allclose(clean, 0.5)
    assert np.allclose(checked_probabilities(probabilities, 6, 6), 0.5)
    assert (probabilities == 3).all()


def test_a_bad_pixel_does_not_spread_when_probabilities_are_resampled():
    small = np.full((2, 4, 4), 0.5, np.float32)
    small[:, 1, 1] = np.nan
    assert np.allclose(checked_probabilities(small, 16, 16), 0.5)


def test_small_probabilities_are_resampled_to_the_image_and_sum_to_one():
    rng = np.random.default_rng(1)
    small = rng.dirichlet((1, 1, 1), size=(5, 7)).transpose(2, 0, 1).astype(np.float16)
    large = checked_probabilities(small, 40, 56)
    assert large.shape == (3, 40, 56)
    assert large.flags.c_contiguous
    assert np.allclose(large.sum(0), 1, atol=1e-5)


def test_the_energy_is_finite_where_a_probability_is_zero():
    probabilities = np.zeros((2, 2, 2), np.float32)
    probabilities[0] = 1
    energy = unary_energy(probabilities)
    assert energy.shape == (2, 4)
    assert energy.dtype == np.float32
    assert np.isfinite(energy).all()
    assert energy[1, 0] == pytest.approx(-np.log(1e-5))


@pytest.mark.parametrize("shape", [(4, 4), (2, 0, 4), (0, 4, 4)])
def test_probabilities_of_a_wrong_shape_are_refused(shape):
    with pytest.raises(UserError, match="shape"):
        checked_probabilities(np.zeros(shape, np.float32), 4, 4)


def test_probabilities_too_large_for_its_indices_are_refused_before_any_memory_is_taken():
    with pytest.raises(UserError, match="too large"):
        checked_probabilities(np.ones((200, 1, 1), np.float32), 20_000, 20_000)


@pytest.mark.parametrize(
    ("shape", "dtype"), [((4, 4), np.uint8), ((4, 4, 3), np.float32), ((0, 4, 3), np.uint8), ((4, 4, 4), np.uint8)]
)
def test_images_of_a_wrong_kind_are_refused(shape, dtype):
    image = np.zeros(shape, dtype)
    with pytest.raises(UserError, match="image"):
        checked_image(image)
    with pytest.raises(UserError, match="image"):
        refine(image, np.full((2, 4, 4), 0.5, np.float32))


def test_the_program_s_own_engine_is_the_default_and_always_there():
    assert next(iter(available_backends())) == DEFAULT_BACKEND == "native"
    assert available_backends()["native"] is None


def test_asking_for_the_engines_loads_none_of_them():
    code = "import sys; from segstudio.refine.api import available_backends as a; a(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "segstudio.refine.api" in loaded
    assert not {"numba", "torch", "pydensecrf"} & set(loaded)


def test_an_unknown_engine_is_refused():
    with pytest.raises(UserError, match="no CRF engine"):
        refine(np.zeros((4, 4, 3), np.uint8), np.full((2, 4, 4), 0.5, np.float32), backend="magic")


def test_a_missing_pydensecrf_gives_a_sentence_and_how_to_add_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydensecrf", None)
    monkeypatch.setitem(sys.modules, "pydensecrf.densecrf", None)
    reason = available_backends()["pydensecrf"]
    assert reason is not None
    assert 'pip install "segstudio[pydensecrf]"' in reason
    with pytest.raises(UserError, match="C compiler") as caught:
        refine(np.zeros((4, 4, 3), np.uint8), np.full((2, 4, 4), 0.5, np.float32), backend="pydensecrf")
    assert caught.value.message.startswith("pydensecrf is not installed")


@needs_pydensecrf
@pytest.mark.parametrize("exact", [True, False])
def test_every_engine_equals_pydensecrf_s_own_inference(two_halves, engine, exact):
    from pydensecrf import densecrf

    image, probabilities = two_halves
    crf = densecrf.DenseCRF2D(50, 40, 2)
    crf.setUnaryEnergy(unary_energy(probabilities))
    crf.addPairwiseGaussian(sxy=1.0, compat=3.0)
    crf.addPairwiseBilateral(sxy=67.0, srgb=3.0, rgbim=image, compat=4.0)
    expected = np.array(crf.inference(10)).reshape(2, 40, 50)
    result = refine(image, probabilities, backend=engine, exact=exact)
    assert np.allclose(result, expected, atol=1e-6 if engine == "pydensecrf" else 1e-4)


@needs_pydensecrf
@pytest.mark.parametrize("name", PRESETS)
def test_both_engines_agree_on_every_preset(two_halves, name):
    image, probabilities = two_halves
    image = np.clip(image + np.random.default_rng(1).normal(10, 4, image.shape), 0, 255).astype(np.uint8)
    native = refine(image, probabilities, preset(name), exact=True)
    assert np.allclose(native, refine(image, probabilities, preset(name), backend="pydensecrf"), atol=1e-4)


@needs_pydensecrf
def test_temperature_means_the_same_to_both_engines(two_halves):
    image, probabilities = two_halves
    params = CrfParams(temperature=2.5, iterations=3)
    native = refine(image, probabilities, params, exact=True)
    assert np.allclose(native, refine(image, probabilities, params, backend="pydensecrf"), atol=1e-4)


def test_temperature_divides_the_logits(two_halves, engine):
    image, probabilities = two_halves
    flat = refine(image, probabilities, CrfParams(iterations=0, temperature=2.0), backend=engine)
    roots = np.sqrt(probabilities)
    assert np.allclose(flat, roots / roots.sum(0), atol=1e-5)


def test_refining_removes_a_hole_that_the_image_does_not_show(two_halves, engine):
    image, probabilities = two_halves
    result = refine(image, probabilities, backend=engine)
    assert result.shape == (2, 40, 50)
    assert result.dtype == np.float32
    assert np.allclose(result.sum(0), 1, atol=1e-4)
    assert (result.argmax(0)[10:14, 30:34] == 1).all()


def test_bad_pixels_are_counted_and_do_not_spoil_the_picture(two_halves, engine):
    image, probabilities = two_halves
    probabilities = probabilities.copy()
    probabilities[:, 5, 5] = np.nan
    probabilities[0, 6, 6] = -1
    spoilt = refined(image, probabilities, backend=engine)
    assert spoilt.uniform == 2
    probabilities[:, 5, 5] = probabilities[:, 6, 6] = 0.5
    mended = refined(image, probabilities, backend=engine)
    assert mended.uniform == 0
    assert np.allclose(spoilt.probabilities, mended.probabilities, atol=1e-6)


@pytest.mark.parametrize("layout", ["read-only", "fortran", "transposed", "mirrored", "float64"])
def test_any_layout_gives_the_same_result(two_halves, engine, layout):
    image, probabilities = two_halves
    expected = refine(image, probabilities, backend=engine)
    if layout == "read-only":
        image.flags.writeable = False
        probabilities.flags.writeable = False
    elif layout == "fortran":
        image, probabilities = np.asfortranarray(image), np.asfortranarray(probabilities)
    elif layout == "transposed":
        probabilities = np.ascontiguousarray(probabilities.transpose(1, 2, 0)).transpose(2, 0, 1)
    elif layout == "mirrored":
        image = np.ascontiguousarray(image[:, :, ::-1])[:, :, ::-1]
    else:
        probabilities = probabilities.astype(np.float64)
    assert np.allclose(refine(image, probabilities, backend=engine), expected, atol=1e-5)


def test_one_class_one_pixel_and_no_kernels_work(engine):
    image = np.zeros((1, 1, 3), np.uint8)
    assert refine(image, np.ones((1, 1, 1), np.float32), backend=engine).tolist() == [[[1.0]]]
    plain = np.array([[[0.25]], [[0.75]]], np.float32)
    without = CrfParams(bilateral_weight=0, spatial_weight=0)
    assert np.allclose(refine(image, plain, without, backend=engine), plain, atol=1e-5)
    assert np.allclose(refine(image, plain, CrfParams(iterations=0), backend=engine), plain, atol=1e-5)


def test_probabilities_of_any_scale_are_divided_by_their_sum(two_halves, engine):
    image, probabilities = two_halves
    expected = refine(image, probabilities, backend=engine)
    assert np.allclose(refine(image, 40 * probabilities, backend=engine), expected, atol=1e-5)


def test_the_automatic_mode_drops_labels_nobody_has_and_the_exact_one_keeps_them(two_halves):
    image, two = two_halves
    probabilities = np.full((24, 40, 50), 1e-4, np.float32)
    probabilities[[3, 7]] = two
    automatic, exact = refined(image, probabilities), refined(image, probabilities, exact=True)
    assert set(automatic.live) >= {3, 7}
    assert len(automatic.live) <= 4
    assert exact.live == tuple(range(24))
    assert np.array_equal(automatic.probabilities.argmax(0), exact.probabilities.argmax(0))
    assert np.abs(automatic.probabilities - exact.probabilities).max() < 2e-2
    assert np.allclose(automatic.probabilities.sum(0), 1, atol=1e-4)
    assert automatic.probabilities.shape == exact.probabilities.shape


def test_progress_never_falls_and_cancel_stops_between_two_iterations(two_halves, engine):
    image, probabilities = two_halves
    seen = []
    refine(image, probabilities, CrfParams(iterations=4), backend=engine, progress=seen.append)
    fractions = [p.fraction for p in seen]
    assert fractions == sorted(fractions)
    assert set(fractions) == {0, 0.25, 0.5, 0.75, 1}
    seen.clear()
    with pytest.raises(Cancelled):
        refine(image, probabilities, backend=engine, progress=seen.append, cancelled=lambda: len(seen) >= 3)
    assert len(seen) == 3


def test_a_refinement_cancelled_at_once_makes_no_iteration(two_halves, engine):
    image, probabilities = two_halves
    seen = []
    with pytest.raises(Cancelled):
        refine(image, probabilities, backend=engine, progress=seen.append, cancelled=lambda: True)
    assert not any("iteration" in p.text for p in seen)


def _pretend_pydensecrf(tmp_path, monkeypatch, text):
    package = tmp_path / "pydensecrf"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "densecrf.py").write_text(text)
    for name in ("pydensecrf", "pydensecrf.densecrf"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))


def test_asking_whether_pydensecrf_is_there_does_not_load_it(tmp_path, monkeypatch):
    _pretend_pydensecrf(tmp_path, monkeypatch, "raise AssertionError('loaded')")
    assert available_backends()["pydensecrf"] is None
    assert "pydensecrf" not in sys.modules


def test_a_broken_build_of_pydensecrf_is_a_sentence(tmp_path, monkeypatch):
    _pretend_pydensecrf(tmp_path, monkeypatch, "raise ImportError('undefined symbol')")
    with pytest.raises(UserError, match="does not load") as caught:
        refine(np.zeros((4, 4, 3), np.uint8), np.full((2, 4, 4), 0.5, np.float32), backend="pydensecrf")
    monkeypatch.delitem(sys.modules, "pydensecrf", raising=False)
    assert "undefined symbol" in caught.value.message
    assert "--force-reinstall" in caught.value.hint
