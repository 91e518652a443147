"""Which networks can be chosen, which is in use, and the way back."""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from segstudio.core.catalog import Catalog
from segstudio.core.errors import ModelError
from segstudio.core.events import Change
from segstudio.core.paths import user_data_dir
from segstudio.engine.devices import DeviceInfo
from segstudio.nets.card import find_card, list_cards, save_card, shipped_cards
from segstudio.nets.card_model import ModelCard, WeightsRef
from segstudio.nets.registry_names import FAMILY_NAMES
from segstudio.services.downloads import TORCHVISION_FILES, download_text
from segstudio.services.fitting import Capacity, capacity_of, limit_of, needs_text
from segstudio.services.messages import Message
from segstudio.services.models import DEFAULT_MODEL, project_card
from segstudio.services.sections import FAMILY_SECTIONS, IMPORTED, READY, RUNS
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


# -- sections --------------------------------------------------------------------------------------------------------


def test_every_family_has_a_section() -> None:
    assert set(FAMILY_SECTIONS) == set(FAMILY_NAMES)


def test_cards_come_in_sections_a_persons_own_first(workspace: Workspace) -> None:
    _run(workspace, "child")
    folder = user_data_dir() / "cards"
    folder.mkdir(parents=True)
    save_card(replace(find_card("fcn8s"), id="fetched", origin="somebody/else", trained=True), folder / "fetched.toml")
    infos = workspace.models.cards()
    sections = list(dict.fromkeys(info.section for info in infos))
    assert sections[:4] == [RUNS, IMPORTED, READY, "U-Net"]
    assert len(sections) == len({info.section for info in infos if info.section})
    of = {info.card.id: info.section for info in infos}
    assert (of["child"], of["fetched"], of["objects-unet-small"]) == (RUNS, IMPORTED, READY)
    assert (of["unet-original"], of["fcn8s"], of["deeplabv2-resnet101"]) == ("U-Net", "FCN", "DeepLab v2")
    assert workspace.models.active_info.section == "U-Net"


def test_the_cards_of_a_section_are_in_natural_order(workspace: Workspace) -> None:
    titles = [info.card.title for info in workspace.models.cards() if info.section == "FCN"]
    numbered = [title for title in titles if title in ("FCN-8s", "FCN-16s", "FCN-32s")]
    assert numbered == ["FCN-8s", "FCN-16s", "FCN-32s"]


def test_a_card_that_has_learnt_the_projects_classes_leads_its_section(workspace: Workspace) -> None:
    workspace.set_catalog(Catalog.from_names(["background", "object"]))
    ready = [info for info in workspace.models.cards() if info.section == READY]
    assert [info.knows_classes for info in ready] == sorted([info.knows_classes for info in ready], reverse=True)
    assert ready[0].card.id == "objects-unet-small"


def test_cards_are_read_again_only_where_a_file_changed(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[tuple[Path, ...]] = []

    def noting(*folders: Path) -> object:
        reads.append(folders)
        return list_cards(*folders)

    monkeypatch.setattr("segstudio.services.models.list_cards", noting)
    workspace.models.cards()
    workspace.models.cards()
    assert len(reads) == 1
    folder = user_data_dir() / "cards"
    folder.mkdir(parents=True)
    save_card(replace(find_card("unet-small"), id="mine"), folder / "mine.toml")
    assert "mine" in [i.card.id for i in workspace.models.cards()]
    assert len(reads) == 2


# -- what fits -------------------------------------------------------------------------------------------------------

_GIB = 1 << 30
_BIG = ModelCard(id="big", family="unet", title="Big", parameters=400_000_000)


@pytest.mark.parametrize(
    ("total", "free", "usable", "fits", "begins"),
    [
        (16, 12, True, True, ""),
        (1, 1, False, False, "Needs about 2.0 GiB; this computer has 1.0 GiB."),
        (16, 1, True, False, "Needs about 2.0 GiB to propose; this computer has 1.0 GiB free now."),
        (4, 3, True, False, "Needs about 6.4 GiB to train; this computer has 4.0 GiB. It can propose"),
        (16, 5, True, False, "Needs about 6.4 GiB to train; this computer has 5.0 GiB free now."),
        (None, None, True, True, ""),
    ],
)
def test_what_does_not_fit_says_so_before_it_runs(
    total: int | None, free: int | None, usable: bool, fits: bool, begins: str
) -> None:
    capacity = Capacity("this computer", total and total * _GIB, free and free * _GIB)
    limit = limit_of(_BIG, capacity)
    assert (limit.usable, limit.fits) == (usable, fits)
    assert limit.sentence.startswith(begins)
    assert bool(limit.sentence) == bool(begins)


def test_measured_memory_counts_before_reckoned_memory() -> None:
    measured = replace(_BIG, predict_mib=512, train_mib=3 * 1024)
    assert limit_of(measured, Capacity("it", 4 * _GIB)).sentence == ""
    assert needs_text(measured, Capacity("it", None)) == (
        "about 0.5 GiB to propose, 3.0 GiB to train; a GPU is advised for training"
    )
    assert "advised" not in needs_text(measured, Capacity("it", None, is_gpu=True))
    assert "advised" not in needs_text(replace(measured, parameters=2_000_000), Capacity("it", None))
    assert needs_text(ModelCard(id="x", family="unet"), Capacity("it", None)) == ""


def test_the_memory_that_counts_is_that_of_the_device() -> None:
    gpu = capacity_of(DeviceInfo("cuda:0", "A card", "cuda", 8 * _GIB))
    assert (gpu.owner, gpu.total, gpu.free, gpu.is_gpu) == ("the A card", 8 * _GIB, None, True)
    for device in (None, DeviceInfo("cpu", "A processor", "cpu", 5)):
        own = capacity_of(device)
        assert own.owner == "this computer"
        assert own.total is None or own.total > 1 << 28


def test_a_network_of_a_package_that_is_missing_says_how_to_add_it(monkeypatch: pytest.MonkeyPatch) -> None:
    card = ModelCard(id="x", family="smp", parameters=5)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    limit = limit_of(card, Capacity("it", None))
    assert not limit.usable
    assert 'pip install "segstudio[smp]"' in limit.sentence
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    assert limit_of(card, Capacity("it", None)).usable


def test_a_network_that_cannot_run_here_is_not_taken_into_use(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segstudio.services.fitting.total_memory", lambda: 800 << 20)
    info = next(info for info in workspace.models.cards() if info.card.id == "fcn8s")
    assert (info.usable, info.fits) == (False, False)
    with pytest.raises(ModelError, match="FCN-8s cannot run here") as refused:
        workspace.models.use("fcn8s")
    assert refused.value.hint == info.limit
    assert workspace.models.active.id == DEFAULT_MODEL


# -- what is downloaded ----------------------------------------------------------------------------------------------


def test_what_torchvision_says_of_its_files_is_what_the_table_says() -> None:
    from torchvision.models import get_weight

    for name, (file, megabytes) in TORCHVISION_FILES.items():
        weight = get_weight(name)
        assert weight.url.endswith(f"/{file}"), name
        assert round(weight.meta["_file_size"]) == megabytes, name


def test_the_size_of_every_shipped_download_is_known() -> None:
    named = {c.weights.torchvision for c in list_cards(shipped_cards()).cards if c.weights and c.weights.torchvision}
    assert named <= set(TORCHVISION_FILES)


def test_a_download_is_announced_until_the_file_is_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    card = find_card("fcn8s")
    fetched = replace(card, weights=WeightsRef(url="https://example.org/a/net.pth", sha256="0" * 64))
    assert (download_text(card), download_text(fetched)) == ("528 MB, once", "Once, before its first use")
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    for name in ("vgg16-397923af.pth", "net-00000000.pth"):
        (folder / name).touch()
    assert (download_text(card), download_text(fetched)) == (
        "528 MB, already on this computer",
        "Already on this computer",
    )
    assert download_text(find_card("unet")) == download_text(find_card("objects-unet-small")) == ""
