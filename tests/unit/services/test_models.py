"""Which networks can be chosen, which is in use, and the way back."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from segstudio.core.errors import ModelError
from segstudio.core.events import Change
from segstudio.core.paths import user_data_dir
from segstudio.nets.card import find_card, save_card
from segstudio.services.messages import Message
from segstudio.services.models import DEFAULT_MODEL, project_card
from segstudio.services.workspace import Workspace


def _run(workspace: Workspace, card_id: str, classes: tuple[str, ...] = ("background", "cell")) -> int:
    run = workspace.project.create_run(DEFAULT_MODEL, {})
    card = replace(find_card("unet-small"), id=card_id, trained=True, classes=classes, metrics={"miou": 0.625})
    save_card(card, run.folder / "card.toml")
    workspace.project.update_run(run.id, state="done", card=str(run.folder / "card.toml"), accepted=True)
    return run.id


def test_the_shipped_networks_can_be_chosen_and_the_small_one_is_in_use(workspace: Workspace) -> None:
    ids = [info.card.id for info in workspace.models.cards()]
    assert {"unet", "unet-small", "fcn8s", "deeplabv2-resnet101"} <= set(ids)
    assert workspace.models.active.id == DEFAULT_MODEL
    assert "random until you train it" in workspace.models.active_info.note


def test_using_a_network_is_remembered_and_told(workspace: Workspace) -> None:
    heard: list[Change] = []
    workspace.changed.connect(lambda change: heard.append(change.what))
    workspace.models.use("fcn8s")
    assert workspace.models.active.id == "fcn8s"
    assert workspace.project.setting("active_model") == "fcn8s"
    assert heard == [Change.MODELS]
    workspace.models.use("fcn8s")
    assert heard == [Change.MODELS]


def test_going_back_walks_through_the_networks_used_before(workspace: Workspace) -> None:
    workspace.models.use("fcn8s")
    workspace.models.use("unet")
    assert workspace.models.previous is not None
    assert workspace.models.previous.id == "fcn8s"
    workspace.models.go_back()
    assert workspace.models.active.id == "fcn8s"
    workspace.models.go_back()
    assert workspace.models.active.id == DEFAULT_MODEL
    said: list[Message] = []
    workspace.messages.connect(said.append)
    assert workspace.models.go_back() is None
    assert said[-1].text == "There is no earlier model to go back to."


def test_the_newest_run_comes_first_and_says_what_it_reached(workspace: Workspace) -> None:
    _run(workspace, "first")
    _run(workspace, "second")
    infos = workspace.models.cards()
    assert [i.card.id for i in infos[:2]] == ["second", "first"]
    assert infos[0].knows_classes
    assert infos[0].note == "Trained on your classes, mean IoU 0.62."


def test_a_network_of_other_classes_says_so(workspace: Workspace) -> None:
    _run(workspace, "street", ("road", "sky"))
    info = workspace.models.cards()[0]
    assert not info.knows_classes
    assert "Trained on other classes (road, sky)" in info.note


def test_a_run_whose_files_are_gone_is_left_out_and_the_default_is_used(workspace: Workspace) -> None:
    run_id = _run(workspace, "lost")
    workspace.models.adopt(run_id)
    assert workspace.models.active.id == "lost"
    shutil.rmtree(workspace.project.run(run_id).folder)
    assert workspace.models.active.id == DEFAULT_MODEL
    assert "lost" not in [i.card.id for i in workspace.models.cards()]
    with pytest.raises(ModelError, match="made no model"):
        workspace.models.adopt(run_id)


def test_a_card_a_person_added_can_be_chosen(workspace: Workspace) -> None:
    folder = user_data_dir() / "cards"
    folder.mkdir(parents=True)
    save_card(replace(find_card("unet-small"), id="mine"), folder / "mine.toml")
    assert "mine" in [i.card.id for i in workspace.models.cards()]
    assert workspace.models.use("mine").path == folder / "mine.toml"


def test_a_run_is_found_by_its_number_and_its_card_by_path(workspace: Workspace) -> None:
    run_id = _run(workspace, "child")
    path = workspace.project.run(run_id).folder / "card.toml"
    assert project_card(workspace.project, f"run-{run_id}").id == "child"
    assert project_card(workspace.project, str(path)).id == "child"
    assert project_card(workspace.project, None).id == DEFAULT_MODEL


def test_an_unknown_network_is_refused_with_the_known_ones(workspace: Workspace) -> None:
    with pytest.raises(ModelError, match="no model card named nothing"):
        workspace.models.use("nothing")
    assert workspace.models.active.id == DEFAULT_MODEL
