"""Training from the window's side: what it learns from, what it shows, and who decides which model is used."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from segstudio.core.catalog import Catalog
from segstudio.core.errors import ModelError, UserError
from segstudio.core.items import Split, Status
from segstudio.core.jobs import ErrorKind, ErrorReport, JobState
from segstudio.core.runs import RunResult, TrainNote, TrainStarted, TrainStep, TrainValidation
from segstudio.core.segmentmap import Segment, SegmentMap
from segstudio.engine.protocol import Failed, Finished, Trained, WasCancelled
from segstudio.nets.card import find_card, save_card
from segstudio.project.project import Project
from segstudio.services.manifests import freeze, teaching_instances, teaching_labels
from segstudio.services.messages import Message
from segstudio.services.tasks import QueueDispatcher
from segstudio.services.workspace import Workspace
from segstudio.training.manifest import Manifest


def _label(workspace: Workspace, index: int, *, rows: int = 10, reviewed: bool = False) -> SegmentMap:
    """Decides the first rows of an image (class 1, the last of them ignore) and stores that."""
    segment_map = SegmentMap.empty(40, 60)
    segment_map.ids[:rows] = 1
    segment_map.ids[rows - 1] = 255
    segment_map.decided[:rows] = True
    item = workspace.images[index]
    workspace.project.set_image_info(item.id, width=60, height=40)
    status = Status.REVIEWED if reviewed else None
    workspace.project.save_map(item.id, segment_map, status=status)
    workspace.refresh_item(item.id)
    return segment_map


def _start(workspace: Workspace, dispatcher: QueueDispatcher) -> None:
    """Starts a run and waits until the trainer has it."""
    trainings = workspace.engine.trainings  # type: ignore[attr-defined]
    before = len(trainings)
    workspace.finetuning.start(steps=3)
    assert dispatcher.run_until(lambda: len(trainings) > before, timeout=20)


def _tell(workspace: Workspace, dispatcher: QueueDispatcher, *events: object) -> None:
    """Lets the trainer say something and waits until the workspace heard it."""
    heard: list[bool] = []
    listener = workspace.engine.trainings[-1][1]  # type: ignore[attr-defined]
    for event in events:
        listener(event)
    dispatcher(lambda: heard.append(True))
    assert dispatcher.run_until(lambda: bool(heard), timeout=20)


def _result(workspace: Workspace, *, accepted: bool, card: str | None = "child") -> RunResult:
    """What a trainer ends with; its card lies in the run's folder."""
    run = workspace.project.runs()[-1]
    path = None
    if card is not None:
        made = replace(find_card("unet-small"), id=card, trained=True, classes=("background", "cell"), run=str(run.id))
        path = run.folder / "card.toml"
        save_card(made, path)
    reason = "0.71 beats 0.50." if accepted else "0.40 does not beat 0.50."
    return RunResult(
        best_miou=0.71 if accepted else 0.4,
        parent_miou=0.5,
        accepted=accepted,
        reason=reason,
        steps=3,
        seconds=1.5,
        card=path,
        stopped=False,
    )


def _said(workspace: Workspace) -> list[Message]:
    said: list[Message] = []
    workspace.messages.connect(said.append)
    return said


# -- readiness -----------------------------------------------------------------------------------------------------


def test_nothing_labelled_is_not_ready_and_says_what_to_do(workspace: Workspace) -> None:
    ready = workspace.finetuning.readiness()
    assert not ready.ready
    assert ready.reason == "Label some pixels of at least one image first."
    with pytest.raises(UserError, match="nothing to train on yet"):
        workspace.finetuning.start(steps=1)
    assert workspace.project.runs() == []


def test_one_class_is_not_enough(workspace: Workspace) -> None:
    _label(workspace, 0)
    workspace.set_catalog(Catalog.from_names(["background", "cell"]))
    assert workspace.finetuning.readiness().ready
    project = workspace.project
    other = Catalog.from_json([{"id": 1, "name": "cell"}])
    workspace.set_catalog(other)
    assert project.catalog == other
    assert workspace.finetuning.readiness().reason == "Training needs at least two classes."


def test_a_validation_image_alone_is_not_enough(workspace: Workspace) -> None:
    index = next(i for i, item in enumerate(workspace.images) if item.split is Split.VALIDATION)
    _label(workspace, index)
    ready = workspace.finetuning.readiness()
    assert not ready.ready
    assert "used for training" in ready.reason
    assert (ready.train_images, ready.validation_images) == (0, 1)


def test_without_a_validation_image_it_is_ready_and_says_how_it_will_be_judged(workspace: Workspace) -> None:
    _label(workspace, 0)
    ready = workspace.finetuning.readiness()
    assert ready.ready
    assert ready.reason.startswith("1 image to learn from.")
    assert "No validation image is labelled yet" in ready.reason


def test_with_both_it_counts_them(workspace: Workspace) -> None:
    for index in range(4):
        _label(workspace, index)
    ready = workspace.finetuning.readiness()
    assert ready.reason == "3 images to learn from, 1 image to validate on."


# -- what a run learns from ----------------------------------------------------------------------------------------


def test_a_run_freezes_decided_pixels_in_progress_and_every_pixel_reviewed(
    workspace: Workspace, dispatcher: QueueDispatcher
) -> None:
    _label(workspace, 0, rows=10)
    reviewed = SegmentMap.empty(40, 60)
    reviewed.ids[:] = 0
    reviewed.ids[:, 30:] = 1
    reviewed.ids[5] = 255
    reviewed.decided[:20] = True
    item = workspace.images[2]
    workspace.project.set_image_info(item.id, width=60, height=40)
    workspace.project.save_map(item.id, reviewed, status=Status.REVIEWED)
    workspace.refresh_item(item.id)
    _start(workspace, dispatcher)
    folder = Path(workspace.engine.trainings[-1][0].folder)  # type: ignore[attr-defined]
    manifest = Manifest.load(folder)
    assert [(i.name, i.split) for i in manifest.items] == [("image1.png", "train"), ("image3.png", "validation")]
    assert manifest.class_names == ("background", "cell")
    first = np.full((40, 60), 255, np.uint8)
    first[:9] = 1
    second = np.zeros((40, 60), np.uint8)
    second[:, 30:] = 1
    second[5] = 255
    for entry, expected in zip(manifest.items, (first, second), strict=True):
        assert (cv2.imread(str(entry.mask), cv2.IMREAD_UNCHANGED) == expected).all()
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert (config["steps"], config["model"]) == (3, "unet-small")


def test_class_ids_with_gaps_become_channels_in_order_of_their_ids(tmp_path: Path) -> None:
    catalog = Catalog.from_json([{"id": 200, "name": "c"}, {"id": 3, "name": "a"}, {"id": 17, "name": "b"}])
    segment_map = SegmentMap.empty(2, 4)
    segment_map.ids[0] = [3, 17, 200, 255]
    segment_map.ids[1] = [256, 257, 99, 3]
    segment_map.segments = {256: Segment(256, 17), 257: Segment(257, 200, crowd=True)}
    segment_map.decided[:] = True
    segment_map.decided[1, 3] = False
    expected = np.array([[0, 1, 2, 255], [1, 2, 255, 255]], np.uint8)
    assert (teaching_labels(segment_map, catalog, Status.IN_PROGRESS) == expected).all()
    expected[1, 3] = 0
    assert (teaching_labels(segment_map, catalog, Status.REVIEWED) == expected).all()


def test_freezing_copies_and_later_edits_change_nothing(workspace: Workspace, tmp_path: Path) -> None:
    _label(workspace, 0)
    card = find_card("unet-small")
    assert card.path is not None
    manifest = freeze(workspace.project, workspace.catalog, tmp_path, model_card=card.path, parent_card=None)
    before = manifest.items[0].mask.read_bytes()
    _label(workspace, 0, rows=30)
    assert manifest.items[0].mask.read_bytes() == before


def test_labels_that_are_all_ignore_teach_nothing(workspace: Workspace, tmp_path: Path) -> None:
    _label(workspace, 0, rows=1)
    card = find_card("unet-small")
    assert card.path is not None
    with pytest.raises(UserError, match="Nothing is labelled yet"):
        freeze(workspace.project, workspace.catalog, tmp_path, model_card=card.path, parent_card=None)


def test_what_was_painted_a_moment_ago_is_learnt_too(shown: Workspace, dispatcher: QueueDispatcher) -> None:
    annotator = shown.current
    assert annotator is not None
    gesture = annotator.begin("Brush")
    gesture.paint(np.ones((4, 6), bool), 0, 0, 1)
    gesture.commit()
    shown.saver.save_now()
    _start(shown, dispatcher)
    folder = Path(shown.engine.trainings[-1][0].folder)  # type: ignore[attr-defined]
    mask = cv2.imread(str(Manifest.load(folder).items[0].mask), cv2.IMREAD_UNCHANGED)
    assert (mask != 255).sum() == 24


def test_only_a_model_that_knows_the_classes_is_a_parent_to_beat(
    workspace: Workspace, dispatcher: QueueDispatcher
) -> None:
    _label(workspace, 0)
    _start(workspace, dispatcher)
    folder = Path(workspace.engine.trainings[-1][0].folder)  # type: ignore[attr-defined]
    assert Manifest.load(folder).parent_card is None
    _tell(workspace, dispatcher, Finished(_result(workspace, accepted=True)))
    _start(workspace, dispatcher)
    second = Manifest.load(Path(workspace.engine.trainings[-1][0].folder))  # type: ignore[attr-defined]
    assert second.parent_card == folder / "card.toml"
    assert second.model_card == folder / "card.toml"


def _published_config(workspace: Workspace) -> dict[str, object]:
    folder = Path(workspace.engine.trainings[-1][0].folder)  # type: ignore[attr-defined]
    config: dict[str, object] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return config


def test_the_published_recipe_brings_its_number_of_steps(workspace: Workspace, dispatcher: QueueDispatcher) -> None:
    _label(workspace, 0)
    workspace.models.use("fcn32s")
    trainings = workspace.engine.trainings  # type: ignore[attr-defined]

    workspace.finetuning.start(recipe="published")

    assert dispatcher.run_until(lambda: bool(trainings), timeout=20)
    config = _published_config(workspace)
    assert (config["recipe"], config["steps"], config["learning_rate"]) == ("published", 100_000, 1e-10)
    assert workspace.finetuning.state.total_steps == 100_000


def test_a_persons_own_end_comes_before_the_recipes(workspace: Workspace, dispatcher: QueueDispatcher) -> None:
    _label(workspace, 0)
    workspace.models.use("fcn32s")
    trainings = workspace.engine.trainings  # type: ignore[attr-defined]

    workspace.finetuning.start(minutes=2.0, recipe="published")

    assert dispatcher.run_until(lambda: bool(trainings), timeout=20)
    config = _published_config(workspace)
    assert (config["minutes"], config["steps"]) == (2.0, None)


def test_an_unknown_recipe_starts_nothing(workspace: Workspace) -> None:
    _label(workspace, 0)
    with pytest.raises(UserError, match="recipe 'secret'"):
        workspace.finetuning.start(steps=1, recipe="secret")
    assert workspace.project.runs() == []


def _finished_fcn32s(workspace: Workspace, dispatcher: QueueDispatcher, classes: tuple[str, ...]) -> Path:
    """The card of a run of FCN-32s on these classes."""
    workspace.models.use("fcn32s")
    _start(workspace, dispatcher)
    run = workspace.project.runs()[-1]
    made = replace(find_card("fcn32s"), id=f"fcn32s-run-{run.id}", trained=True, classes=classes, run=str(run.id))
    path = run.folder / "card.toml"
    save_card(made, path)
    result = replace(_result(workspace, accepted=False, card=None), card=path)
    _tell(workspace, dispatcher, Finished(result))
    return path


def test_fcn16s_goes_on_from_the_projects_own_fcn32s(workspace: Workspace, dispatcher: QueueDispatcher) -> None:
    _label(workspace, 0)
    former = _finished_fcn32s(workspace, dispatcher, ("background", "cell"))
    trainings = workspace.engine.trainings  # type: ignore[attr-defined]
    workspace.models.use("fcn16s")
    _start(workspace, dispatcher)

    assert Manifest.load(Path(trainings[-1][0].folder)).start_card == former
    _tell(workspace, dispatcher, WasCancelled())
    workspace.models.use("fcn8s")
    _start(workspace, dispatcher)
    assert Manifest.load(Path(trainings[-1][0].folder)).start_card is None


def test_a_stage_with_other_classes_is_not_gone_on_from(workspace: Workspace, dispatcher: QueueDispatcher) -> None:
    _label(workspace, 0)
    _finished_fcn32s(workspace, dispatcher, ("background", "nucleus"))
    workspace.models.use("fcn16s")
    _start(workspace, dispatcher)
    folder = Path(workspace.engine.trainings[-1][0].folder)  # type: ignore[attr-defined]
    assert Manifest.load(folder).start_card is None


def _label_two_cells(workspace: Workspace) -> SegmentMap:
    """Two instances that touch and a crowd, in an image of the training split."""
    segment_map = SegmentMap.empty(40, 60)
    segment_map.ids[:] = 0
    segment_map.ids[10:20, 10:20] = 256
    segment_map.ids[10:20, 20:30] = 257
    segment_map.ids[30:, 30:] = 258
    segment_map.segments = {i: Segment(i, 1, crowd=i == 258) for i in (256, 257, 258)}
    segment_map.decided[:20] = True
    segment_map.decided[12] = False
    item = workspace.images[0]
    workspace.project.set_image_info(item.id, width=60, height=40)
    workspace.project.save_map(item.id, segment_map)
    workspace.refresh_item(item.id)
    return segment_map


def test_instances_are_frozen_where_the_recipe_weighs_borders(
    workspace: Workspace, dispatcher: QueueDispatcher
) -> None:
    segment_map = _label_two_cells(workspace)
    trainings = workspace.engine.trainings  # type: ignore[attr-defined]
    workspace.models.use("unet-original")
    workspace.finetuning.start(steps=3, recipe="published")
    assert dispatcher.run_until(lambda: bool(trainings), timeout=20)

    [item] = Manifest.load(Path(trainings[-1][0].folder)).items
    assert item.instances is not None
    expected = np.where(segment_map.decided, segment_map.instance_ids(), 0)
    assert (cv2.imread(str(item.instances), cv2.IMREAD_UNCHANGED) == expected).all()


def test_instances_are_left_out_where_nothing_needs_them(workspace: Workspace, dispatcher: QueueDispatcher) -> None:
    _label_two_cells(workspace)
    _start(workspace, dispatcher)
    folder = Path(workspace.engine.trainings[-1][0].folder)  # type: ignore[attr-defined]
    assert Manifest.load(folder).items[0].instances is None
    assert not list(folder.rglob("*instances*"))


def test_a_crowd_is_no_instance(workspace: Workspace) -> None:
    segment_map = _label_two_cells(workspace)
    channels = teaching_labels(segment_map, workspace.catalog, Status.REVIEWED)
    assert set(np.unique(teaching_instances(segment_map, channels))) == {0, 256, 257}


# -- following a run -----------------------------------------------------------------------------------------------


def test_what_the_trainer_says_becomes_the_view_of_the_run(workspace: Workspace, dispatcher: QueueDispatcher) -> None:
    _label(workspace, 0)
    _start(workspace, dispatcher)
    view = workspace.finetuning.state
    assert view.running
    _tell(
        workspace,
        dispatcher,
        Trained(
            TrainStarted(
                total_steps=4, device="cpu", train_images=1, validation_images=0, parent_miou=0.5, note="Random head."
            )
        ),
        Trained(TrainStep(step=1, loss=0.9, learning_rate=0.1, seconds=0.5)),
        Trained(TrainStep(step=2, loss=0.7, learning_rate=0.1, seconds=1.0)),
        Trained(TrainValidation(step=2, miou=0.3, loss=0.8, per_class=(0.2, 0.4), best=True)),
        Trained(TrainValidation(step=3, miou=0.2, loss=0.8, per_class=(0.1, 0.3), best=False)),
        Trained(TrainNote(text="Slow disk.")),
    )
    assert (view.device, view.total_steps, view.parent_miou) == ("cpu", 4, 0.5)
    assert view.losses == [(1, 0.9), (2, 0.7)]
    assert view.validations == [(2, 0.3), (3, 0.2)]
    assert view.best_miou == 0.3
    assert view.notes == ["Random head.", "Slow disk."]
    assert view.text == "Step 2, loss 0.700"
    assert workspace.jobs.running[-1].fraction == 0.5


def test_an_accepted_model_is_put_to_use_and_one_click_goes_back(
    workspace: Workspace, dispatcher: QueueDispatcher
) -> None:
    said = _said(workspace)
    _label(workspace, 0)
    _start(workspace, dispatcher)
    _tell(workspace, dispatcher, Finished(_result(workspace, accepted=True)))
    assert workspace.models.active.id == "child"
    run = workspace.project.runs()[-1]
    assert (run.state, run.accepted, run.metrics["miou"]) == ("done", True, 0.71)
    assert said[-1].level == "success"
    assert said[-1].action is not None
    label, go_back = said[-1].action
    assert label == "Go back"
    go_back()
    assert workspace.models.active.id == "unet-small"
    assert workspace.models.previous is None


def test_a_refused_model_leaves_the_one_in_use_and_can_still_be_adopted(
    workspace: Workspace, dispatcher: QueueDispatcher
) -> None:
    said = _said(workspace)
    _label(workspace, 0)
    _start(workspace, dispatcher)
    _tell(workspace, dispatcher, Finished(_result(workspace, accepted=False)))
    assert workspace.models.active.id == "unet-small"
    assert said[-1].text == "0.40 does not beat 0.50."
    run = workspace.project.runs()[-1]
    assert run.accepted is False
    workspace.finetuning.adopt(run.id)
    assert workspace.models.active.id == "child"


def test_a_run_without_a_model_cannot_be_adopted(workspace: Workspace, dispatcher: QueueDispatcher) -> None:
    _label(workspace, 0)
    _start(workspace, dispatcher)
    _tell(workspace, dispatcher, Finished(_result(workspace, accepted=False, card=None)))
    with pytest.raises(ModelError, match="made no model"):
        workspace.finetuning.adopt(workspace.project.runs()[-1].id)


def test_stopping_asks_the_trainer_and_its_best_so_far_goes_through_the_gate(
    workspace: Workspace, dispatcher: QueueDispatcher
) -> None:
    _label(workspace, 0)
    _start(workspace, dispatcher)
    workspace.finetuning.stop()
    assert workspace.engine.cancelled == [2000]  # type: ignore[attr-defined]
    assert workspace.finetuning.state.text == "Stopping ..."
    _tell(workspace, dispatcher, Finished(replace(_result(workspace, accepted=True), stopped=True)))
    assert workspace.models.active.id == "child"
    assert workspace.finetuning.state.state is JobState.DONE


def test_stopping_before_the_trainer_has_the_run_starts_none(workspace: Workspace, dispatcher: QueueDispatcher) -> None:
    _label(workspace, 0)
    workspace.finetuning.start(steps=3)
    workspace.finetuning.stop()
    assert dispatcher.run_until(lambda: not workspace.finetuning.running, timeout=20)
    assert workspace.engine.trainings == []  # type: ignore[attr-defined]
    assert workspace.project.runs()[-1].state == "cancelled"


def test_a_run_stopped_before_its_first_validation_keeps_the_model(
    workspace: Workspace, dispatcher: QueueDispatcher
) -> None:
    _label(workspace, 0)
    _start(workspace, dispatcher)
    _tell(workspace, dispatcher, WasCancelled())
    assert workspace.finetuning.state.state is JobState.CANCELLED
    assert workspace.project.runs()[-1].state == "cancelled"
    assert workspace.models.active.id == "unet-small"


def test_a_failed_run_is_one_sentence_and_the_next_can_start(workspace: Workspace, dispatcher: QueueDispatcher) -> None:
    said = _said(workspace)
    _label(workspace, 0)
    _start(workspace, dispatcher)
    report = ErrorReport(ErrorKind.DIED, "The trainer ran out of memory.", "Close programs.")
    _tell(workspace, dispatcher, Failed(report))
    assert [f"{m.text} {m.hint}".strip() for m in said] == [report.sentence]
    assert workspace.project.runs()[-1].state == "failed"
    assert workspace.jobs.records[-1].state is JobState.FAILED
    _start(workspace, dispatcher)
    assert workspace.finetuning.running


def test_a_second_run_is_refused_while_one_goes_on(workspace: Workspace, dispatcher: QueueDispatcher) -> None:
    _label(workspace, 0)
    _start(workspace, dispatcher)
    with pytest.raises(UserError, match="going on already"):
        workspace.finetuning.start(steps=1)
    assert len(workspace.project.runs()) == 1


def test_words_of_an_earlier_run_do_not_reach_the_next(workspace: Workspace, dispatcher: QueueDispatcher) -> None:
    _label(workspace, 0)
    _start(workspace, dispatcher)
    _tell(workspace, dispatcher, WasCancelled())
    _start(workspace, dispatcher)
    first = workspace.engine.trainings[0][1]  # type: ignore[attr-defined]
    first(Trained(TrainStep(step=9, loss=9.0, learning_rate=0.1, seconds=1.0)))
    _tell(workspace, dispatcher)
    assert workspace.finetuning.state.losses == []


def test_a_trainer_that_ends_after_the_project_was_closed_disturbs_nobody(
    workspace: Workspace, dispatcher: QueueDispatcher
) -> None:
    _label(workspace, 0)
    _start(workspace, dispatcher)
    result = replace(_result(workspace, accepted=True), stopped=True)
    path = workspace.project.path
    workspace.close()
    assert workspace.engine.cancelled == [2000]  # type: ignore[attr-defined]
    _tell(workspace, dispatcher, Finished(result))
    assert workspace.finetuning.state.result is None
    with Project.open(path) as again:
        assert again.runs()[-1].state == "cancelled"
