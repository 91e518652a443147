"""A published checkpoint becomes a card that everything else can use."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from segstudio.core.errors import Cancelled, ModelError
from segstudio.nets.card import ModelCard, find_card, list_cards, load_card
from segstudio.nets.card_import import import_checkpoint
from segstudio.nets.checkpoint import load_model, save_checkpoint
from segstudio.nets.registry import build


def _save(path: Path, family: str, classes: int = 2, **options: object) -> Path:
    torch.manual_seed(0)
    torch.save(build(family, classes=classes, options=options).state_dict(), path)  # type: ignore[arg-type]
    return path


@pytest.fixture
def unet(tmp_path: Path) -> Path:
    return _save(tmp_path / "UNet_carvana scale0.5.pth", "unet", width=2)


@pytest.fixture
def fcn32s(tmp_path: Path) -> Path:
    return _save(tmp_path / "fcn32s_from_caffe.pth", "fcn", 3, variant="32s", thin=32)


def test_card_and_weights_lie_side_by_side_and_load(unet: Path, tmp_path: Path) -> None:
    card, sentences = import_checkpoint(unet, tmp_path / "cards")
    assert card.path == tmp_path / "cards" / "unet-carvana-scale0.5.toml"
    assert load_card(card.path) == card
    assert (card.origin, card.trained, card.classes) == ("milesial/Pytorch-UNet", True, ("background", "car"))
    assert card.license == "Unknown; see milesial/Pytorch-UNet"
    assert sentences[0].startswith(f"{unet.name} is U-Net, transposed convolutions of milesial/Pytorch-UNet, with 2")
    assert "scaled by 0.5" in sentences[1]
    assert sentences[2] == "Left out: batch counters (18)."
    net, source = load_model(card.path), load_model(unet)
    assert (net.loaded.head, net.card.id, net.class_names) == ("checkpoint", card.id, card.classes)
    x = torch.rand(1, 3, 40, 33)
    with torch.inference_mode():
        assert torch.equal(net(x), source(x))


def test_paper_and_figures_are_those_of_the_shipped_network(tmp_path: Path) -> None:
    shipped = find_card("unet-small")
    card, _ = import_checkpoint(_save(tmp_path / "x.pth", "unet", width=16), tmp_path / "cards")
    assert (card.paper, card.merit, card.predict_mib) == (shipped.paper, shipped.merit, shipped.predict_mib)
    other, _ = import_checkpoint(_save(tmp_path / "y.pth", "unet", width=2), tmp_path / "cards")
    assert (other.paper, other.merit, other.predict_mib) == ("", "", None)


def test_the_same_file_is_known_again_and_another_gets_a_number(unet: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cards"
    first, _ = import_checkpoint(unet, folder)
    again, sentences = import_checkpoint(unet, folder)
    assert again.path == first.path
    assert "imported before" in sentences[0]
    assert len(list_cards(folder).cards) == 1
    _save(unet, "unet", width=3)
    second, _ = import_checkpoint(unet, folder)
    assert second.id == f"{first.id}-2"
    assert (folder / f"{second.id}.pt").is_file()


def test_a_file_whose_weights_are_gone_is_imported_anew(unet: Path, tmp_path: Path) -> None:
    first, _ = import_checkpoint(unet, tmp_path / "cards")
    assert first.path is not None
    first.path.with_suffix(".pt").unlink()
    second, _ = import_checkpoint(unet, tmp_path / "cards")
    assert second.id != first.id
    assert load_model(second).loaded.head == "checkpoint"


def test_shipped_ids_are_not_taken(tmp_path: Path) -> None:
    card, _ = import_checkpoint(_save(tmp_path / "unet.pth", "unet", width=2), tmp_path / "cards")
    assert card.id == "unet-2"


@pytest.mark.parametrize("name", ["___.pth", "Ünët № 5.pth", "a" * 200 + ".pth", "..x..pth"])
def test_any_file_name_gives_a_valid_id(tmp_path: Path, name: str) -> None:
    card, _ = import_checkpoint(_save(tmp_path / name, "unet", width=1), tmp_path / "cards")
    assert load_card(tmp_path / "cards" / f"{card.id}.toml").id == card.id


def test_unnamed_classes_are_numbered_and_said_to_be(tmp_path: Path) -> None:
    card, sentences = import_checkpoint(_save(tmp_path / "x.pth", "unet", 3, width=1), tmp_path / "cards")
    assert card.classes == ("class 0", "class 1", "class 2")
    assert any("does not name its classes" in sentence for sentence in sentences)


def test_optimizers_are_left_out_and_counted(unet: Path, tmp_path: Path) -> None:
    state = torch.load(unet, weights_only=True)
    torch.save({"state_dict": state, "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}}, "epoch": 2}, unet)
    _, sentences = import_checkpoint(unet, tmp_path / "cards")
    assert "tensors of optimizer (1)" in sentences[-1]


def test_our_own_checkpoint_comes_in_as_well(tmp_path: Path) -> None:
    net = build("unet", classes=2, options={"width": 1})
    net.class_names = ("background", "cell")
    net.card = ModelCard(id="cells", family="unet", options=net.options)
    save_checkpoint(net, tmp_path / "cells.pt")
    card, sentences = import_checkpoint(tmp_path / "cells.pt", tmp_path / "cards")
    assert (card.id, card.origin, card.classes) == ("cells", "", ("background", "cell"))
    assert "unet of SegStudio" in sentences[0]


# -- what the person says ----------------------------------------------------------------------------------------------


def test_saying_which_settles_what_the_file_leaves_open(tmp_path: Path) -> None:
    path = _save(tmp_path / "weights.pth", "fcn", 3, variant="8s", thin=32)
    with pytest.raises(ModelError, match="FCN-8s or FCN-8s at once"):
        import_checkpoint(path, tmp_path / "cards")
    for said, variant in (("fcn8s", "8s"), ("fcn8s-atonce", "8s-atonce")):
        card, _ = import_checkpoint(path, tmp_path / "cards", said=said)
        assert card.options["variant"] == variant
    assert len(list_cards(tmp_path / "cards").cards) == 2


def test_a_later_stage_starts_where_the_file_ended(fcn32s: Path, tmp_path: Path) -> None:
    card, sentences = import_checkpoint(fcn32s, tmp_path / "cards", said="fcn16s")
    assert card.id == "fcn16s-from-fcn32s-from-caffe"
    assert card.title == "FCN-16s (wkentaro/pytorch-fcn)"
    assert "starts where that one ended" in sentences[-1]
    net, former = load_model(card), load_model(fcn32s)
    assert net.options["variant"] == "16s"
    ours, theirs = net.state_dict(), former.state_dict()
    assert torch.equal(ours["fc7.weight"], theirs["fc7.weight"])
    assert torch.equal(ours["score_fr.weight"], theirs["score_fr.weight"])
    assert not bool(ours["score_pool4.weight"].any())


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("fcn8s", "goes on from FCN-16s, not from FCN-32s"),
        ("unet", "holds FCN-32s, not unet"),
        ("deeplabv1", "holds FCN-32s, not deeplabv1"),
        ("resnet-9000", "no model card named resnet-9000"),
    ],
)
def test_saying_something_else_is_refused(fcn32s: Path, tmp_path: Path, said: str, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        import_checkpoint(fcn32s, tmp_path / "cards", said=said)
    assert not (tmp_path / "cards").exists()


def test_another_width_than_the_card_says_is_refused(unet: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="which is not unet-small"):
        import_checkpoint(unet, tmp_path / "cards", said="unet-small")


def test_a_familys_name_is_enough(fcn32s: Path, tmp_path: Path) -> None:
    assert import_checkpoint(fcn32s, tmp_path / "cards", said="fcn")[0].options["variant"] == "32s"


# -- failures ----------------------------------------------------------------------------------------------------------


def test_cancelling_writes_nothing(unet: Path, tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        import_checkpoint(unet, tmp_path / "cards", cancelled=lambda: True)
    assert not (tmp_path / "cards").exists()


def test_a_card_that_cannot_be_written_leaves_no_weights(
    unet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object) -> None:
        raise ModelError("The card cannot be written (No space left on device).", "Check the folder.")

    monkeypatch.setattr("segstudio.nets.card_import.save_card", fail)
    with pytest.raises(ModelError, match="No space left"):
        import_checkpoint(unet, tmp_path / "cards")
    assert list((tmp_path / "cards").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_one_sentence(unet: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match="cannot be made"):
        import_checkpoint(unet, tmp_path / "file" / "cards")
