"""Proposals: they arrive, they wait, they never belong to a wish that was replaced, and failing is one sentence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from segstudio.core.catalog import Catalog
from segstudio.core.errors import UserError
from segstudio.core.events import Change
from segstudio.core.geometry import Rect
from segstudio.core.items import Status
from segstudio.core.jobs import ErrorKind, ErrorReport, JobState, Progress
from segstudio.core.prediction import NO_OPINION
from segstudio.engine.devices import DeviceInfo
from segstudio.engine.protocol import Failed, Finished, PredictionArrays, Progressed, WasCancelled
from segstudio.nets.card import find_card, save_card
from segstudio.services.messages import Message
from segstudio.services.tasks import QueueDispatcher
from segstudio.services.workspace import Workspace


def _heard(workspace: Workspace) -> list[Message]:
    said: list[Message] = []
    workspace.messages.connect(said.append)
    return said


def _proposed(workspace: Workspace) -> bool:
    return workspace.current is not None and workspace.current.prediction is not None


def _shows(workspace: Workspace, name: str) -> bool:
    return workspace.current is not None and workspace.current.item.name == name


def _arrays(class_id: int, shape: tuple[int, int] = (40, 60), note: str = "") -> PredictionArrays:
    labels = np.full(shape, class_id, np.uint8)
    return PredictionArrays(labels, np.full(shape, 9, np.uint8), np.zeros((2, *shape), np.float16), (0, 1), note=note)


@pytest.fixture
def listeners(shown: Workspace, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The listeners of predictions asked for, in order; nothing is answered unless a test does so."""
    caught: list[Any] = []
    real = shown.engine.predict

    def predict(spec: Any, image: Any, listener: Any, *, interactive: bool = True) -> Any:
        caught.append(listener)
        return real(spec, image, lambda _event: None, interactive=interactive)

    monkeypatch.setattr(shown.engine, "predict", predict)
    return caught


def _trained_card(workspace: Workspace, names: tuple[str, ...]) -> str:
    """A card of a network trained on classes of these names, chosen as the model in use."""
    made = replace(find_card("unet-small"), id="learnt", classes=names, trained=True)
    path = workspace.project.path / "learnt.toml"
    save_card(made, path)
    run = workspace.project.create_run(None, {})
    workspace.project.update_run(run.id, state=JobState.DONE, card=str(path), accepted=True)
    workspace.models.use("learnt")
    return made.id


def test_a_proposal_arrives_and_is_shown_without_touching_the_map(
    shown: Workspace, dispatcher: QueueDispatcher
) -> None:
    seen: list[Change] = []
    shown.changed.connect(lambda change: seen.append(change.what))
    shown.predicting.predict_current()
    assert shown.predicting.busy
    assert dispatcher.run_until(lambda: _proposed(shown), timeout=20)
    annotator = shown.current
    assert annotator is not None
    assert annotator.prediction is not None
    expected = np.zeros((40, 60), np.uint8)
    expected[:, 30:] = 1
    assert (annotator.prediction.labels == expected).all()
    assert not annotator.map.decided.any()
    assert Change.PROPOSAL in seen
    assert not shown.predicting.busy
    assert [(r.state, r.title) for r in shown.jobs.records] == [(JobState.DONE, "Proposing for image1.png")]


def test_the_request_names_the_card_the_classes_and_the_device(shown: Workspace, dispatcher: QueueDispatcher) -> None:
    shown.set_catalog(Catalog.from_json([{"id": 0, "name": "background"}, {"id": 7, "name": "cell"}]))
    shown.predicting.use_device_once("cpu")
    shown.predicting.predict_current()
    spec = shown.engine.predictions[-1]  # type: ignore[attr-defined]
    assert spec.catalog_ids == (0, 7)
    assert spec.class_names == ("background", "cell")
    assert spec.device == "cpu"
    assert spec.card.endswith("unet-small.toml")
    assert shown.settings.get("device", "auto") == "auto"


def test_an_untrained_network_is_said_to_propose_at_random(shown: Workspace, dispatcher: QueueDispatcher) -> None:
    said = _heard(shown)
    shown.predicting.predict_current()
    assert [m.level for m in said] == ["warning"]
    assert "random" in said[0].text


def test_a_reply_to_an_overtaken_request_is_dropped(
    shown: Workspace, dispatcher: QueueDispatcher, listeners: list[Any]
) -> None:
    shown.predicting.predict_current()
    shown.predicting.predict_current()
    first, second = listeners
    second(Finished(_arrays(1)))
    first(Finished(_arrays(0)))
    assert dispatcher.run_until(lambda: _proposed(shown), timeout=20)
    dispatcher.run_until(lambda: False, timeout=0.3)
    assert shown.current is not None
    assert shown.current.prediction is not None
    assert (shown.current.prediction.labels == 1).all()
    assert shown.engine.cancelled == [1]  # type: ignore[attr-defined]


def test_a_reply_that_comes_after_a_cancel_shows_nothing(
    shown: Workspace, dispatcher: QueueDispatcher, listeners: list[Any]
) -> None:
    shown.predicting.predict_current()
    shown.predicting.cancel()
    listeners[0](Finished(_arrays(1)))
    dispatcher.run_until(lambda: False, timeout=0.3)
    assert not _proposed(shown)
    assert [r.state for r in shown.jobs.records] == [JobState.CANCELLED]


def test_a_proposal_for_an_image_left_meanwhile_waits_for_the_return(
    shown: Workspace, dispatcher: QueueDispatcher, listeners: list[Any]
) -> None:
    first = shown.images[0].id
    shown.predicting.set_auto(enabled=False)
    _trained_card(shown, ("background", "cell"))
    shown.predicting.predict_current()
    shown.next_image()
    assert dispatcher.run_until(lambda: shown.current is not None and shown.current.item.id != first, timeout=20)
    listeners[0](Finished(_arrays(1)))
    assert dispatcher.run_until(lambda: shown.predicting.cached(first) is not None, timeout=20)
    assert not _proposed(shown)
    shown.previous_image()
    assert dispatcher.run_until(lambda: _proposed(shown), timeout=20)


def test_a_failure_becomes_one_message(shown: Workspace, dispatcher: QueueDispatcher, listeners: list[Any]) -> None:
    said = _heard(shown)
    shown.predicting.predict_current()
    listeners[0](Failed(ErrorReport(ErrorKind.DIED, "The engine ran out of memory.", "Choose a smaller model.")))
    assert dispatcher.run_until(lambda: not shown.predicting.busy, timeout=20)
    about = [f"{m.text} {m.hint}".strip() for m in said if "memory" in m.text]
    assert about == ["The engine ran out of memory. Choose a smaller model."]
    assert [r.state for r in shown.jobs.records] == [JobState.FAILED]


def test_an_engine_that_refuses_at_once_is_one_message_too(
    shown: Workspace, dispatcher: QueueDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: Any, **_kwargs: Any) -> Any:
        raise UserError("The engine cannot start.", "Restart the program.")

    said = _heard(shown)
    monkeypatch.setattr(shown.engine, "predict", refuse)
    shown.predicting.predict_current()
    assert [m.text for m in said if m.level == "error"] == ["The engine cannot start."]
    assert not shown.predicting.busy


def test_a_note_of_the_engine_is_told(shown: Workspace, dispatcher: QueueDispatcher, listeners: list[Any]) -> None:
    said = _heard(shown)
    shown.predicting.predict_current()
    listeners[0](Finished(_arrays(1, note="The image went through in tiles.")))
    assert dispatcher.run_until(lambda: _proposed(shown), timeout=20)
    assert said[-1].text == "The image went through in tiles."


def test_proposing_for_all_leaves_out_reviewed_and_broken_images_and_waits_on_disk(
    shown: Workspace, dispatcher: QueueDispatcher
) -> None:
    ids = [i.id for i in shown.images]
    shown.set_status(Status.REVIEWED, ids[1])
    shown.predicting.predict_all()
    assert shown.predicting.busy
    assert dispatcher.run_until(lambda: not shown.predicting.busy, timeout=20)
    folder = shown.project.path / "cache" / "proposals"
    assert sorted(p.stem for p in folder.iterdir()) == sorted(str(i) for i in ids if i != ids[1])
    assert _proposed(shown)
    assert shown.jobs.records[-1].state is JobState.DONE
    assert shown.jobs.records[-1].title == "Proposing for 3 images"


def test_a_proposal_waits_on_disk_for_the_next_time_the_project_opens(
    shown: Workspace, dispatcher: QueueDispatcher
) -> None:
    from segstudio.project.project import Project

    shown.predicting.predict_all()
    assert dispatcher.run_until(lambda: not shown.predicting.busy, timeout=20)
    path, image_id = shown.project.path, shown.images[2].id
    shown.close()
    again = Workspace(Project.open(path), shown.engine, dispatcher, shown.settings)
    try:
        asked = len(shown.engine.predictions)  # type: ignore[attr-defined]
        again.open_image(image_id)
        assert dispatcher.run_until(lambda: _proposed(again), timeout=20)
        assert len(shown.engine.predictions) == asked  # type: ignore[attr-defined]
    finally:
        again.close()


def test_an_unreadable_image_is_said_and_the_others_get_their_proposals(
    shown: Workspace, dispatcher: QueueDispatcher
) -> None:
    said = _heard(shown)
    broken = shown.images[3]
    broken.path.write_bytes(b"not an image")
    shown.predicting.predict_all()
    assert dispatcher.run_until(lambda: not shown.predicting.busy and bool(said), timeout=20)
    assert [broken.name in m.text for m in said if m.level == "error"] == [True]
    assert shown.predicting.cached(broken.id) is None
    assert shown.predicting.cached(shown.images[2].id) is not None


def test_proposing_for_all_goes_on_when_it_replaces_a_single_proposal(
    shown: Workspace, dispatcher: QueueDispatcher, listeners: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown.predicting.predict_current()
    shown.predicting.predict_all()
    listeners[0](WasCancelled())
    for number in range(1, 5):
        assert dispatcher.run_until(lambda wanted=number: len(listeners) > wanted, timeout=20)
        listeners[number](Finished(_arrays(1)))
    assert dispatcher.run_until(lambda: not shown.predicting.busy, timeout=20)
    assert [r.state for r in shown.jobs.records] == [JobState.CANCELLED, JobState.DONE]


def test_opening_an_image_does_not_break_off_the_last_proposal_of_all(
    shown: Workspace, dispatcher: QueueDispatcher, listeners: list[Any]
) -> None:
    shown.predicting.set_auto(enabled=False)
    _trained_card(shown, ("background", "cell"))
    shown.settings.set("propose_automatically", True)
    for item in shown.images[1:]:
        shown.set_status(Status.REVIEWED, item.id)
    shown.predicting.predict_all()
    assert dispatcher.run_until(lambda: len(listeners) == 1, timeout=20)
    shown.set_status(Status.NEW, shown.images[1].id)
    shown.next_image()
    assert dispatcher.run_until(lambda: _shows(shown, "image2.png"), timeout=20)
    listeners[0](Finished(_arrays(1)))
    assert dispatcher.run_until(lambda: not shown.predicting.busy, timeout=20)
    assert shown.jobs.records[-1].state is JobState.DONE
    assert len(listeners) == 1


def test_a_full_disk_ends_proposing_for_all_with_one_sentence(
    shown: Workspace, dispatcher: QueueDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("segstudio.services.proposals.ProposalStore.save", full)
    said = _heard(shown)
    shown.predicting.predict_all()
    assert dispatcher.run_until(lambda: not shown.predicting.busy, timeout=20)
    assert ["No space left" in m.text for m in said if m.level == "error"] == [True]
    assert shown.jobs.records[-1].state is JobState.FAILED


def test_proposing_for_all_says_when_everything_is_reviewed(shown: Workspace) -> None:
    for item in shown.images:
        shown.set_status(Status.REVIEWED, item.id)
    said = _heard(shown)
    shown.predicting.predict_all()
    assert said[-1].text == "Every image is reviewed."
    assert not shown.predicting.busy


def test_cancelling_proposals_for_all_keeps_those_already_there(
    shown: Workspace, dispatcher: QueueDispatcher, listeners: list[Any]
) -> None:
    shown.predicting.predict_all()
    assert dispatcher.run_until(lambda: len(listeners) == 1, timeout=20)
    listeners[0](Finished(_arrays(1)))
    assert dispatcher.run_until(lambda: len(listeners) == 2, timeout=20)
    shown.jobs.cancel(shown.jobs.running[-1].id)
    assert not shown.predicting.busy
    assert shown.predicting.cached(shown.images[0].id) is not None
    assert shown.predicting.cached(shown.images[1].id) is None


@pytest.mark.parametrize(("names", "proposes"), [(("background", "cell"), True), (("road", "sky"), False)])
def test_an_opened_image_gets_a_proposal_only_from_a_network_that_knows_its_classes(
    shown: Workspace, dispatcher: QueueDispatcher, names: tuple[str, ...], proposes: bool
) -> None:
    _trained_card(shown, names)
    shown.next_image()
    assert dispatcher.run_until(lambda: _shows(shown, "image2.png"), timeout=20)
    assert bool(shown.engine.predictions) is proposes  # type: ignore[attr-defined]


def test_an_opened_image_gets_no_proposal_where_the_person_switched_that_off(
    shown: Workspace, dispatcher: QueueDispatcher
) -> None:
    shown.predicting.set_auto(enabled=False)
    _trained_card(shown, ("background", "cell"))
    shown.next_image()
    assert dispatcher.run_until(lambda: _shows(shown, "image2.png"), timeout=20)
    assert shown.engine.predictions == []  # type: ignore[attr-defined]
    shown.predicting.set_auto(enabled=True)
    assert dispatcher.run_until(lambda: _proposed(shown), timeout=20)


def test_proposals_of_another_network_are_forgotten_when_the_model_changes(
    shown: Workspace, dispatcher: QueueDispatcher
) -> None:
    shown.predicting.predict_all()
    assert dispatcher.run_until(lambda: not shown.predicting.busy, timeout=20)
    shown.models.use("unet")
    shown.predicting.model_changed()
    assert list((shown.project.path / "cache" / "proposals").iterdir()) == []
    assert shown.predicting.cached(shown.images[0].id) is None


BOX = Rect(10, 20, 12, 20)


def _in_box() -> Any:
    inside = np.zeros((40, 60), bool)
    inside[BOX.slices] = True
    return inside


def test_a_box_is_asked_for_with_the_class_it_is_drawn_around(shown: Workspace) -> None:
    shown.predicting.predict_box(BOX, 1)
    assert shown.predicting.box == BOX
    spec = shown.engine.predictions[-1]  # type: ignore[attr-defined]
    assert (spec.box, spec.box_class) == ((10, 20, 12, 20), 1)
    shown.predicting.predict_current()
    spec = shown.engine.predictions[-1]  # type: ignore[attr-defined]
    assert (spec.box, spec.box_class) == (None, None)
    assert shown.predicting.box is None


def test_a_box_alone_proposes_nothing_around_it(shown: Workspace, dispatcher: QueueDispatcher) -> None:
    shown.predicting.predict_box(BOX)
    assert dispatcher.run_until(lambda: _proposed(shown), timeout=20)
    assert shown.current is not None
    assert shown.current.prediction is not None
    assert np.array_equal(shown.current.prediction.labels != NO_OPINION, _in_box())
    assert shown.current.accept_all() == BOX.area
    assert np.array_equal(shown.current.map.decided, _in_box())
    assert shown.predicting.box is None
    assert [(r.state, r.title) for r in shown.jobs.records] == [
        (JobState.DONE, "Proposing in a box of image1.png"),
    ]


def test_a_box_leaves_the_proposal_around_it_as_it_was(
    shown: Workspace, dispatcher: QueueDispatcher, listeners: list[Any]
) -> None:
    shown.predicting.predict_current()
    listeners[0](Finished(_arrays(0)))
    assert dispatcher.run_until(lambda: _proposed(shown), timeout=20)
    shown.predicting.predict_box(BOX)
    listeners[1](Finished(_arrays(1, (BOX.height, BOX.width))))
    assert dispatcher.run_until(lambda: not shown.predicting.busy, timeout=20)
    assert shown.current is not None
    assert shown.current.prediction is not None
    assert np.array_equal(shown.current.prediction.labels == 1, _in_box())
    assert shown.current.prediction.probabilities is not None
    assert shown.predicting.cached(shown.images[0].id) is shown.current.prediction


def test_a_box_is_cut_at_the_edge_and_one_outside_asks_for_nothing(shown: Workspace) -> None:
    shown.predicting.predict_box(Rect(-5, 50, 20, 40))
    assert shown.engine.predictions[-1].box == (0, 50, 15, 10)  # type: ignore[attr-defined]
    shown.predicting.predict_box(Rect(50, 70, 5, 5))
    assert len(shown.engine.predictions) == 1  # type: ignore[attr-defined]


def test_a_box_of_an_image_left_meanwhile_is_forgotten(
    shown: Workspace, dispatcher: QueueDispatcher, listeners: list[Any]
) -> None:
    first = shown.images[0].id
    shown.predicting.predict_box(BOX)
    shown.next_image()
    assert dispatcher.run_until(lambda: _shows(shown, "image2.png"), timeout=20)
    listeners[0](Finished(_arrays(1, (BOX.height, BOX.width))))
    assert dispatcher.run_until(lambda: not shown.predicting.busy, timeout=20)
    assert shown.predicting.cached(first) is None
    assert not _proposed(shown)


def test_a_network_that_cannot_run_here_says_so_instead(shown: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segstudio.services.fitting.total_memory", lambda: 100 << 20)
    said = _heard(shown)
    shown.predicting.predict_current()
    shown.predicting.predict_box(BOX)
    shown.predicting.predict_all()
    shown.predicting.set_auto(enabled=True)
    assert shown.engine.predictions == []  # type: ignore[attr-defined]
    assert [(m.level, m.text) for m in said] == [("error", "U-Net, small cannot run here.")] * 3
    assert said[0].hint.startswith("Needs about 0.2 GiB; this computer has 0.1 GiB.")


def test_how_much_of_the_weights_has_arrived_is_on_the_job_list(
    shown: Workspace, dispatcher: QueueDispatcher, listeners: list[Any]
) -> None:
    shown.predicting.predict_current()
    listeners[0](Progressed(Progress(0.43, "Downloading FCN-8s")))
    assert dispatcher.run_until(lambda: shown.jobs.running[-1].fraction == 0.43, timeout=20)
    assert shown.jobs.running[-1].text == "Downloading FCN-8s"


def test_progress_among_many_images_is_a_part_of_the_whole(
    shown: Workspace, dispatcher: QueueDispatcher, listeners: list[Any]
) -> None:
    shown.predicting.predict_all()
    assert dispatcher.run_until(lambda: len(listeners) == 1, timeout=20)
    listeners[0](Progressed(Progress(0.5, "Downloading FCN-8s")))
    assert dispatcher.run_until(lambda: shown.jobs.running[-1].fraction == 0.125, timeout=20)
    assert shown.jobs.running[-1].text == "0 of 4 · Downloading FCN-8s"


def test_the_device_in_use_is_known_once_the_engine_was_asked(shown: Workspace, dispatcher: QueueDispatcher) -> None:
    gpu = DeviceInfo("cuda:0", "A graphics card", "cuda", 8 << 30)
    cpu = DeviceInfo("cpu", "A processor", "cpu", None)
    assert shown.predicting.device_info is None
    shown.engine.devices = (gpu, cpu)  # type: ignore[attr-defined]
    shown.predicting.learn_devices()
    assert dispatcher.run_until(lambda: shown.predicting.device_info is not None, timeout=20)
    found = {}
    for wanted in ("auto", "cuda", "cuda:0", "cpu", "mps"):
        shown.predicting.use_device_once(wanted)
        found[wanted] = shown.predicting.device_info
    assert found == {"auto": gpu, "cuda": gpu, "cuda:0": gpu, "cpu": cpu, "mps": None}
