from __future__ import annotations

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

from segstudio.core.errors import Cancelled, UserError
from segstudio.refine import native_backend, torch_backend, torch_lattice
from segstudio.refine.api import refined
from segstudio.refine.params import CrfParams

DEVICES = sorted({"cpu", torch_backend.best_device()})
PARAMS = CrfParams(bilateral_xy=12.0, bilateral_rgb=9.0, spatial_xy=1.5, iterations=6)


@pytest.fixture(params=DEVICES)
def device(request):
    return request.param


@pytest.fixture(scope="module")
def scene():
    """An image of three regions, and a noisy prediction of five labels, the last of which is nowhere likely."""
    rng = np.random.default_rng(3)
    regions = np.zeros((37, 53), np.intp)
    regions[:, 20:] = 1
    regions[15:30, 30:48] = 2
    colours = np.array([(30, 60, 90), (200, 180, 40), (90, 200, 90)])
    image = np.clip(colours[regions] + rng.normal(0, 6, (37, 53, 3)), 0, 255).astype(np.uint8)
    scores = rng.normal(0, 0.8, (5, 37, 53))
    for label in range(3):
        scores[label] += 1.5 * (regions == label)
    scores[3, 4:9, 4:9] += 4
    scores[4] -= 12
    probabilities = np.exp(scores)
    return image, (probabilities / probabilities.sum(0)).astype(np.float32)


def minimise(scene, params=PARAMS, *, exact=True, device="cpu", progress=lambda _: None, cancelled=lambda: False):
    return torch_backend.minimise(*scene, params, exact=exact, progress=progress, cancelled=cancelled, device=device)


def native(scene, params=PARAMS, *, exact=True):
    return native_backend.minimise(*scene, params, exact=exact, progress=lambda _: None, cancelled=lambda: False)


@pytest.mark.parametrize("exact", [True, False])
def test_it_gives_the_native_engine_s_answer(scene, device, exact):
    expected = native(scene, exact=exact)
    found = minimise(scene, exact=exact, device=device)
    assert found.live == expected.live == ((0, 1, 2, 3, 4) if exact else (0, 1, 2, 3))
    assert found.probabilities.shape == (5, 37, 53)
    assert found.probabilities.dtype == np.float32
    assert np.abs(found.probabilities - expected.probabilities).max() < 1e-4
    assert np.array_equal(found.probabilities.argmax(0), expected.probabilities.argmax(0))
    assert (found.probabilities.argmax(0) != scene[1].argmax(0)).mean() > 0.05


@pytest.mark.parametrize(
    "params",
    [
        CrfParams(spatial_weight=0, iterations=3),
        CrfParams(bilateral_weight=0, iterations=3),
        CrfParams(spatial_weight=0, bilateral_weight=0, temperature=3.0),
        CrfParams(temperature=0.5, iterations=3),
        CrfParams(iterations=0),
        # Coordinates that do not fit into 64 bits one to one.
        CrfParams(bilateral_xy=0.01, bilateral_rgb=0.01, iterations=3),
    ],
    ids=["no spatial", "no bilateral", "no kernel", "temperature", "no iterations", "huge range"],
)
def test_it_follows_the_native_engine_through_the_parameters(scene, device, params):
    difference = minimise(scene, params, device=device).probabilities - native(scene, params).probabilities
    assert np.abs(difference).max() < 1e-4


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (23, 1), (2, 3)])
@pytest.mark.parametrize("labels", [1, 2, 30])
def test_small_images_and_any_number_of_labels_work(shape, labels, device):
    rng = np.random.default_rng(labels)
    image = rng.integers(0, 256, (*shape, 3), np.uint8)
    probabilities = rng.dirichlet(np.ones(labels), shape).transpose(2, 0, 1).astype(np.float32)
    found = minimise((image, np.ascontiguousarray(probabilities)), device=device)
    assert np.abs(found.probabilities - native((image, probabilities)).probabilities).max() < 1e-4
    assert np.allclose(found.probabilities.sum(0), 1, atol=1e-5)


def test_a_pixel_that_is_no_distribution_becomes_uniform_and_is_counted(scene, device):
    image, clean = scene
    spoilt, uniform = clean.copy(), clean.copy()
    spoilt[2, 3, 3], spoilt[1, 9, 9], spoilt[:, 20, 20], spoilt[0, 30, 30] = np.nan, -0.5, 0, np.inf
    for at in (3, 9, 20, 30):
        uniform[:, at, at] = 0.2
    found = minimise((image, spoilt), device=device)
    assert found.uniform == 4
    assert np.allclose(found.probabilities, minimise((image, uniform), device=device).probabilities, atol=1e-6)


def test_probabilities_of_any_scale_are_taken(scene, device):
    image, clean = scene
    found = minimise((image, clean * np.float32(3)), device=device)
    assert found.uniform == 0
    assert np.allclose(found.probabilities, minimise(scene, device=device).probabilities, atol=1e-5)


def test_read_only_arrays_are_taken_and_left_untouched(scene, device):
    arrays = tuple(array.copy() for array in scene)
    for array in arrays:
        array.flags.writeable = False
    assert np.isfinite(minimise(arrays, device=device).probabilities).all()
    assert all(np.array_equal(*pair) for pair in zip(arrays, scene, strict=True))


def test_a_pixel_keeps_its_best_label_where_hundreds_are_all_improbable(device):
    image = np.zeros((4, 5, 3), np.uint8)
    found = minimise((image, np.full((150, 4, 5), 1 / 150, np.float32)), exact=False, device=device)
    assert len(found.live) == 150
    assert np.allclose(found.probabilities, 1 / 150, rtol=1e-4)


def test_progress_comes_before_every_iteration_and_cancel_stops_between_two(scene):
    seen = []
    minimise(scene, CrfParams(iterations=4), progress=seen.append)
    assert [report.fraction for report in seen] == [0, 0, 0.25, 0.5, 0.75, 1]
    seen.clear()
    with pytest.raises(Cancelled):
        minimise(scene, progress=seen.append, cancelled=lambda: len(seen) >= 3)
    assert len(seen) == 3


def test_a_request_to_stop_is_heard_without_any_iteration(scene):
    with pytest.raises(Cancelled):
        minimise(scene, CrfParams(iterations=0), cancelled=lambda: True)


def test_the_same_input_gives_the_same_bits_with_and_without_kept_lattices(scene):
    torch_backend.forget()
    first = minimise(scene, exact=False)
    again = minimise(scene, exact=False)
    torch_backend.forget()
    built = minimise(scene, exact=False)
    assert np.array_equal(first.probabilities, again.probabilities)
    assert np.array_equal(first.probabilities, built.probabilities)


def test_lattices_are_built_once_for_an_image_and_the_spatial_one_once_for_a_size(scene, monkeypatch):
    built = []
    real = torch_backend.build_lattice
    monkeypatch.setattr(torch_backend, "build_lattice", lambda features: built.append(len(features)) or real(features))
    torch_backend.forget()
    minimise(scene)
    minimise(scene)
    assert built == [2, 5]
    minimise((255 - scene[0], scene[1]))
    assert built == [2, 5, 5]


def test_a_device_without_sums_of_rows_gives_the_same_answer(scene, monkeypatch):
    expected = minimise(scene)
    monkeypatch.setattr(torch_lattice, "has_bags", lambda _: False)
    assert np.allclose(minimise(scene).probabilities, expected.probabilities, atol=1e-5)


def test_the_cpu_has_sums_of_rows():
    assert torch_lattice.has_bags("cpu")


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory."), MemoryError()])
def test_a_memory_that_does_not_suffice_is_a_sentence(scene, monkeypatch, error):
    def fail(*_args):
        raise error

    monkeypatch.setattr(torch_backend, "build_lattice", fail)
    torch_backend.forget()
    with pytest.raises(UserError, match="does not suffice to refine an image of 53 x 37 pixels") as caught:
        minimise(scene)
    assert "smaller image" in caught.value.hint


def test_an_error_of_the_program_is_not_blamed_on_memory(scene, monkeypatch):
    def fail(*_args):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(torch_backend, "build_lattice", fail)
    torch_backend.forget()
    with pytest.raises(RuntimeError, match="shapes"):
        minimise(scene)


def test_a_reach_too_short_for_a_huge_image_is_refused():
    image = np.zeros((1, 20_000, 3), np.uint8)
    with pytest.raises(UserError, match="so large"):
        minimise((image, np.full((1, 1, 20_000), 1.0, np.float32)), CrfParams(spatial_xy=0.01))


def test_the_public_call_reaches_it_by_name(scene):
    found = refined(*scene, PARAMS, backend="torch", exact=True)
    assert np.allclose(found.probabilities, minimise(scene).probabilities, atol=1e-5)


def test_it_works_where_numba_is_missing():
    script = """
        import sys
        sys.modules["numba"] = None
        import numpy as np
        from segstudio.refine.torch_backend import minimise
        from segstudio.refine.params import CrfParams
        found = minimise(
            np.zeros((4, 5, 3), np.uint8), np.full((2, 4, 5), 0.5, np.float32), CrfParams(),
            exact=False, progress=lambda _: None, cancelled=lambda: False, device="cpu",
        )
        assert np.allclose(found.probabilities, 0.5)
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
