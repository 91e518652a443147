from __future__ import annotations

import numpy as np
import pytest
import torch

from segstudio.core.errors import Cancelled, ModelError
from segstudio.imaging.tiling import Tile
from segstudio.nets import predictor as module
from segstudio.nets.base import SegmentationNet
from segstudio.nets.fast.arithmetic import Arithmetic
from segstudio.nets.predictor import Predictor, predict, stored_factor
from segstudio.nets.registry import create_model


@pytest.fixture(scope="module")
def net() -> SegmentationNet:
    torch.manual_seed(0)
    return create_model("unet", classes=3, width=4).eval()


@pytest.fixture
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "arithmetic_for", lambda _device: Arithmetic())


def _image(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height + width).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(1, 1), (33, 47), (100, 3)])
def test_probabilities_have_the_images_size_and_sum_to_one(net: SegmentationNet, size: tuple[int, int]) -> None:
    probabilities = predict(net, _image(*size))
    assert probabilities.shape == (3, *size)
    assert probabilities.dtype == np.float32
    assert np.allclose(probabilities.sum(0), 1, atol=1e-5)


@pytest.mark.usefixtures("float32")
def test_tiles_give_what_the_whole_image_gives(net: SegmentationNet) -> None:
    image = _image(400, 523)
    whole = Predictor(net, device="cpu", pixel_budget=10**9)
    tiled = Predictor(net, device="cpu", pixel_budget=320 * 320)
    fractions: list[float] = []
    got = tiled.probabilities(image, progress=fractions.append)
    assert len(fractions) > 4
    assert np.abs(got - whole.probabilities(image)).max() < 1e-4
    a, b = tiled.predict(image), whole.predict(image)
    assert (a.labels == b.labels).mean() > 0.9999
    assert np.abs(a.probabilities.astype(np.float32) - b.probabilities).max() < 2e-3


@pytest.mark.usefixtures("float32")
def test_predict_agrees_with_probabilities(net: SegmentationNet) -> None:
    image = _image(50, 60)
    ready = Predictor(net, device="cpu")
    probabilities, out = ready.probabilities(image), ready.predict(image)
    assert np.array_equal(out.labels, probabilities.argmax(0))
    assert np.array_equal(out.confidence, np.rint(probabilities.max(0) * 255))
    assert np.allclose(out.probabilities, probabilities, atol=1e-3)


@pytest.mark.usefixtures("float32")
def test_stored_probabilities_are_averaged_to_fit(net: SegmentationNet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_STORED_BYTES", 3 * 2 * 30 * 40)
    image = _image(101, 150)
    ready = Predictor(net, device="cpu", pixel_budget=300 * 300)
    stored, full = ready.predict(image).probabilities, ready.probabilities(image)
    assert stored.shape == (3, 26, 38)
    assert np.allclose(stored[:, 5, 6], full[:, 20:24, 24:28].mean((1, 2)), atol=1e-3)
    assert np.allclose(stored[:, 25, 37], full[:, 100:, 148:].mean((1, 2)), atol=1e-3)


def test_stored_factor_keeps_small_images_whole_and_large_ones_below_the_limit() -> None:
    assert stored_factor(21, 375, 500) == 1
    factor = stored_factor(255, 20_000, 20_000)
    assert 255 * (20_000 // factor) ** 2 * 2 <= 64 << 20


def test_cancel_between_tiles_stops(net: SegmentationNet) -> None:
    with pytest.raises(Cancelled):
        predict(net, _image(20, 20), cancelled=lambda: True)


@pytest.mark.usefixtures("float32")
def test_running_out_of_memory_halves_the_tiles(net: SegmentationNet, monkeypatch: pytest.MonkeyPatch) -> None:
    image = _image(600, 600)
    ready = Predictor(net, device="cpu")
    expected, one_tile = ready.probabilities(image), ready._scorer._logits

    def scarce(pixels: np.ndarray, tile: Tile) -> torch.Tensor:
        if tile.padded.area > 400 * 400:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return one_tile(pixels, tile)

    monkeypatch.setattr(ready._scorer, "_logits", scarce)
    assert np.abs(ready.probabilities(image) - expected).max() < 1e-4


def test_memory_that_never_suffices_is_one_sentence(net: SegmentationNet, monkeypatch: pytest.MonkeyPatch) -> None:
    ready = Predictor(net, device="cpu")

    def never(_image: np.ndarray, _tile: Tile) -> torch.Tensor:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(ready._scorer, "_logits", never)
    with pytest.raises(ModelError, match="memory of cpu does not suffice"):
        ready.probabilities(_image(300, 300))


def test_other_errors_are_not_taken_for_lack_of_memory(net: SegmentationNet, monkeypatch: pytest.MonkeyPatch) -> None:
    ready = Predictor(net, device="cpu")

    def broken(_image: np.ndarray, _tile: Tile) -> torch.Tensor:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(ready._scorer, "_logits", broken)
    with pytest.raises(RuntimeError, match="shapes differ"):
        ready.probabilities(_image(30, 30))


def test_prediction_leaves_a_training_network_training(net: SegmentationNet) -> None:
    net.train()
    before = [value.clone() for value in net.buffers()]
    predict(net, _image(40, 40))
    assert net.training
    assert all(torch.equal(a, b) for a, b in zip(before, net.buffers(), strict=True))
    net.eval()


def test_missing_device_is_one_sentence(net: SegmentationNet) -> None:
    with pytest.raises(ModelError, match="not available"):
        Predictor(net, device="nonsense")
