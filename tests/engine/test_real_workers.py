"""The workers of the program itself: real CRF, real networks, a real training run, all tiny."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import pytest

from segstudio.core.paths import models_dir
from segstudio.core.runs import RunResult, TrainStep
from segstudio.engine.base import ENTRY_POINTS
from segstudio.engine.inline import InlineEngine
from segstudio.engine.protocol import (
    DevicesSpec,
    Failed,
    Finished,
    PredictSpec,
    Progressed,
    RefineSpec,
    SettleSpec,
    StrokeSpec,
    Trained,
    TrainSpec,
    WasCancelled,
)
from segstudio.refine.api import available_backends, refine
from segstudio.refine.params import CrfParams

needs_pydensecrf = pytest.mark.skipif(
    available_backends()["pydensecrf"] is not None, reason="pydensecrf is not installed"
)


@pytest.fixture
def real_engine(make_engine):
    return make_engine(**ENTRY_POINTS)


def noisy_halves(height, width, classes=2):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 40, (height, width, 3), dtype=np.uint8)
    image[:, width // 2 :] += 150
    probabilities = rng.dirichlet(np.ones(classes), size=(height, width)).transpose(2, 0, 1)
    probabilities[1, :, width // 2 :] += 0.5
    return image, (probabilities / probabilities.sum(0)).astype(np.float16)


def test_the_refine_process_gives_what_the_library_call_gives(real_engine, tools):
    image, probabilities = noisy_halves(60, 80)
    heard = tools.Heard()
    real_engine.refine(RefineSpec(CrfParams(), (3, 9)), image, probabilities, heard)
    result = heard.end().result
    expected = refine(image, probabilities)
    assert np.array_equal(result.labels, np.where(expected.argmax(0) == 1, 9, 3))
    assert np.allclose(result.probabilities, expected, atol=2e-3)
    assert result.live == (3, 9)
    assert result.uniform == 0
    assert len(heard.of(Progressed)) >= 2


@needs_pydensecrf
def test_a_refinement_stops_between_two_iterations(real_engine, deaths_of, tools):
    image, probabilities = noisy_halves(300, 400, classes=8)
    heard = tools.Heard()
    handle = real_engine.refine(RefineSpec(CrfParams(iterations=100), tuple(range(8))), image, probabilities, heard)
    heard.wait_for(Progressed)
    process = real_engine.process_ids()["refine"]
    handle.cancel()
    assert isinstance(heard.end(2), WasCancelled)
    again = tools.Heard()
    small = noisy_halves(20, 20)
    real_engine.refine(RefineSpec(CrfParams(), (0, 1)), *small, again)
    assert isinstance(again.end(30), Finished)
    assert real_engine.process_ids()["refine"] == process
    assert deaths_of(real_engine) == []


@needs_pydensecrf
def test_a_refine_process_killed_inside_the_library_is_replaced(real_engine, deaths_of, tools):
    sentences = deaths_of(real_engine)
    image, probabilities = noisy_halves(300, 400, classes=8)
    heard = tools.Heard()
    real_engine.refine(RefineSpec(CrfParams(iterations=100), tuple(range(8))), image, probabilities, heard)
    heard.wait_for_count(Progressed, 3)
    os.kill(real_engine.process_ids()["refine"], signal.SIGKILL)
    assert isinstance(heard.end(10), Failed)
    assert len(sentences) == 1
    again = tools.Heard()
    real_engine.refine(RefineSpec(CrfParams(), (0, 1)), *noisy_halves(20, 20), again)
    assert isinstance(again.end(30), Finished)


def test_strokes_find_the_image_that_settled_before_and_a_killed_process_says_that_it_is_gone(real_engine, tools):
    image, probabilities = noisy_halves(60, 80)
    none = np.full((60, 80), 255, np.uint8)
    heard, again, window, lost = tools.Heard(), tools.Heard(), tools.Heard(), tools.Heard()
    real_engine.stroke(SettleSpec(1, CrfParams(), (3, 9)), (image, probabilities, none), heard)
    settled = heard.end().result
    real_engine.stroke(SettleSpec(1, CrfParams(), (3, 9)), (none,), again)
    assert np.array_equal(again.end().result.labels, settled.labels)
    real_engine.stroke(StrokeSpec(1, (10, 20, 32, 40)), (none[:32, :40],), window)
    drawn = window.end().result
    assert drawn.labels.shape == (32, 40)
    assert (drawn.labels == settled.labels[10:42, 20:60]).mean() > 0.95
    os.kill(real_engine.process_ids()["refine"], signal.SIGKILL)
    real_engine.stroke(StrokeSpec(1, (10, 20, 32, 40)), (none[:32, :40],), lost)
    assert isinstance(lost.end(), Failed)


def test_bad_parameters_come_back_as_a_sentence(real_engine, tools):
    heard = tools.Heard()
    spec = RefineSpec(CrfParams(bilateral_xy=0), (0, 1))
    real_engine.refine(spec, *noisy_halves(20, 20), heard)
    assert isinstance(heard.end(), Failed)


@pytest.fixture
def deaths_of():
    heard = {}

    def sentences(engine):
        if engine not in heard:
            heard[engine] = []
            engine.on_death.connect(heard[engine].append)
        return heard[engine]

    return sentences


def unet_small(ids=(2, 5, 11), **options):
    card = str(models_dir() / "cards" / "unet-small.toml")
    return PredictSpec(card, ids, tuple(f"class {k}" for k in ids), device="cpu", **options)


@pytest.mark.slow
def test_a_real_network_predicts_and_stays_loaded(real_engine, tools):
    image, _ = noisy_halves(70, 90)
    first = tools.Heard()
    real_engine.predict(unet_small(), image, first)
    result = first.end(120).result
    assert result.labels.shape == (70, 90)
    assert set(np.unique(result.labels)) <= {2, 5, 11}
    assert result.class_ids == (2, 5, 11)
    assert np.allclose(result.probabilities.astype(np.float32).sum(0), 1, atol=1e-2)
    assert not result.trained
    assert result.note
    begin = time.monotonic()
    second = tools.Heard()
    real_engine.predict(unet_small(want_probabilities=False), image, second)
    assert second.end().result.probabilities is None
    assert time.monotonic() - begin < 5
    texts = [event.progress.text for event in second.of(Progressed)]
    assert "Loading the model" not in texts
    tools.wait_until(lambda: real_engine.status().device == "cpu")
    assert real_engine.status().device_name


@pytest.mark.slow
def test_a_missing_card_and_a_missing_device_are_sentences(real_engine, tools):
    image, _ = noisy_halves(20, 20)
    for spec in (
        PredictSpec("/nowhere/card.toml", (0, 1), ("a", "b")),
        PredictSpec(unet_small().card, (0, 1), ("a", "b"), device="cuda:77"),
    ):
        heard = tools.Heard()
        real_engine.predict(spec, image, heard, interactive=False)
        report = heard.end(120).report
        assert report.kind == "user"
        assert report.hint


@pytest.mark.slow
def test_a_saved_network_keeps_its_head_when_the_catalog_grows(tmp_path, tools):
    from segstudio.nets.checkpoint import save_checkpoint
    from segstudio.nets.registry import create_model

    net = create_model("unet-small", classes=2)
    net.class_names = ("background", "cell")
    save_checkpoint(net, tmp_path / "net.pt")
    image, _ = noisy_halves(40, 40)
    events = []
    engine = InlineEngine()
    spec = PredictSpec(str(tmp_path / "net.pt"), (0, 1, 4), ("background", "new", "cell"), device="cpu")
    engine.predict(spec, image, events.append)
    result = events[-1].result
    assert result.class_ids == (0, 4)
    assert set(np.unique(result.labels)) <= {0, 4}
    assert result.trained
    engine.ask(DevicesSpec(), events.append)
    assert events[-1].result[-1].id == "cpu"
    engine.close()


@pytest.mark.slow
def test_a_real_training_run_streams_and_can_be_stopped(real_engine, tools, tmp_path):
    heard = tools.Heard()
    handle = real_engine.train(TrainSpec(str(run_folder(tmp_path))), heard)
    tools.wait_until(lambda: heard.events and any(isinstance(e.event, TrainStep) for e in heard.of(Trained)), 120)
    handle.cancel()
    result = heard.end(120).result
    assert isinstance(result, RunResult)
    assert result.steps >= 1
    assert result.stopped


def run_folder(tmp_path):
    import cv2

    from segstudio.training.config import TrainConfig
    from segstudio.training.manifest import Manifest, ManifestItem

    folder = tmp_path / "run"
    (folder / "masks").mkdir(parents=True)
    items = []
    for number, split in enumerate(("train", "validation")):
        image, _ = noisy_halves(64, 64)
        mask = np.zeros((64, 64), np.uint8)
        mask[:, 32:] = 1
        cv2.imwrite(str(tmp_path / f"{number}.png"), image[..., ::-1])
        cv2.imwrite(str(folder / "masks" / f"{number}.png"), mask)
        items.append(
            ManifestItem(
                image=tmp_path / f"{number}.png",
                mask=folder / "masks" / f"{number}.png",
                split=split,
                name=f"{number}.png",
            )
        )
    card = models_dir() / "cards" / "unet-small.toml"
    Manifest(items=tuple(items), class_names=("background", "right"), model_card=card).save(folder)
    TrainConfig(model=str(card), steps=500, crop=64, batch=2, device="cpu").save(folder)
    return folder
