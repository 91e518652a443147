from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from segstudio.core.errors import ModelError
from segstudio.core.paths import models_dir
from segstudio.nets.card import (
    ModelCard,
    WeightsRef,
    file_sha256,
    find_card,
    list_cards,
    load_card,
    save_card,
    weights_file,
)

CARD = ModelCard(
    id="cells-1",
    title='Cells "α"\n\x7f',
    family="unet",
    options={"width": 16, "channels": 3},
    classes=("background", "cell"),
    preprocessing="UNIT",
    weights=WeightsRef(file="cells.pt", sha256="0" * 64),
    trained=True,
    parameters=12,
    parent="unet-small",
    run="7",
    metrics={"mean iou": 0.5},
)


def test_card_survives_saving_and_loading(tmp_path: Path) -> None:
    saved = save_card(CARD, tmp_path / "cells.toml")
    assert load_card(tmp_path / "cells.toml") == saved
    assert dataclasses.replace(saved, path=None) == CARD


@pytest.mark.parametrize(
    "text",
    [
        "id = 1",
        'id = "a/b"\nfamily = "unet"\npreprocessing = "UNIT"',
        'id = "a"\nfamily = "alexnet"\npreprocessing = "UNIT"',
        'id = "a"\nfamily = "unet"\npreprocessing = "raw"',
        'id = "a"\nfamily = "unet"\npreprocessing = "UNIT"\nhook = "os.system"',
        'id = "a"\nfamily = "unet"\npreprocessing = "UNIT"\nclasses = ["x", "x"]',
        'id = "a"\nfamily = "unet"\npreprocessing = "UNIT"\ntrained = "yes"',
        'id = "a"\nfamily = "unet"\npreprocessing = "UNIT"\n[weights]\nurl = "https://a.b/c.pt"',
        'id = "a"\nfamily = "unet"\npreprocessing = "UNIT"\n[weights]\nfile = "a"\ntorchvision = "b"',
        'id = "a"\nfamily = "unet"\npreprocessing = "UNIT"\nsource_sha256 = "abc"',
        "[[[",
    ],
)
def test_bad_card_is_refused_in_one_sentence(text: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=r"bad\.toml"):
        load_card(path)


def test_listing_skips_a_bad_card_and_a_second_of_the_same_id(tmp_path: Path) -> None:
    save_card(CARD, tmp_path / "a.toml")
    save_card(CARD, tmp_path / "b.toml")
    (tmp_path / "c.toml").write_text("id = 3", encoding="utf-8")
    found = list_cards(tmp_path)
    assert [card.id for card in found.cards] == ["cells-1"]
    assert [path.name for path, _ in found.problems] == ["b.toml", "c.toml"]


def test_unknown_id_lists_the_known_ones(tmp_path: Path) -> None:
    save_card(CARD, tmp_path / "a.toml")
    assert find_card("cells-1", [tmp_path]).title == CARD.title
    with pytest.raises(ModelError, match="cells-1"):
        find_card("nuclei", [tmp_path])


def test_weight_file_must_be_the_one_the_card_was_written_for(tmp_path: Path) -> None:
    weights = tmp_path / "cells.pt"
    card = save_card(CARD, tmp_path / "a.toml")
    with pytest.raises(ModelError, match="missing"):
        weights_file(card)
    weights.write_bytes(b"numbers")
    with pytest.raises(ModelError, match="SHA-256"):
        weights_file(card)
    right = dataclasses.replace(card, weights=WeightsRef(file="cells.pt", sha256=file_sha256(weights)))
    assert weights_file(right) == weights.resolve()


def test_weight_file_outside_the_cards_folder_is_refused(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "cells.pt").write_bytes(b"numbers")
    for name in ("../cells.pt", str(tmp_path / "cells.pt")):
        card = save_card(dataclasses.replace(CARD, weights=WeightsRef(file=name)), inner / "a.toml")
        with pytest.raises(ModelError, match="outside"):
            weights_file(card)


def test_every_shipped_card_says_what_a_reader_needs() -> None:
    found = list_cards(models_dir() / "cards")
    assert found.problems == ()
    for card in found.cards:
        assert card.path is not None
        assert card.path.stem == card.id
        assert all((card.title, card.paper, card.license, card.description, card.parameters)), card.id
        assert card.merit or card.metrics, card.id


def test_a_card_of_version_0_1_0_finds_its_family(tmp_path: Path) -> None:
    (tmp_path / "old.toml").write_text('id = "old"\nfamily = "fcn8s"\npreprocessing = "CAFFE-FCN"\n')
    card = load_card(tmp_path / "old.toml")
    assert (card.family, dict(card.options)) == ("fcn", {"variant": "8s"})


def test_cards_are_read_without_importing_torch() -> None:
    code = "import sys, segstudio.nets.card as c; c.list_cards(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3]).returncode == 0
