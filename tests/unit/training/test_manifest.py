from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from segstudio.core.errors import UserError
from segstudio.training.manifest import Manifest, ManifestItem


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run = tmp_path / "run"
    (run / "masks").mkdir(parents=True)
    for path in (tmp_path / "a.png", run / "masks" / "a.png"):
        path.write_bytes(b"x")
    return run


@pytest.fixture
def manifest(folder: Path) -> Manifest:
    item = ManifestItem(image=folder.parent / "a.png", mask=folder / "masks" / "a.png", split="train", name="ä.png")
    return Manifest(items=(item,), class_names=("bg", "cell"), model_card=Path("/m.toml"), parent_card=Path("/p.toml"))


def test_a_manifest_reads_back_as_it_was_written(folder: Path, manifest: Manifest) -> None:
    manifest.save(folder)

    assert Manifest.load(folder) == manifest
    assert Manifest.load(folder).train == manifest.items
    assert Manifest.load(folder).validation == ()


def test_instances_and_the_stage_before_read_back_too(folder: Path, manifest: Manifest) -> None:
    path = folder / "masks" / "a-instances.png"
    path.write_bytes(b"x")
    item = replace(manifest.items[0], instances=path)
    full = replace(manifest, items=(item,), start_card=Path("/fcn32s.toml"))
    full.save(folder)

    assert Manifest.load(folder) == full
    path.unlink()
    with pytest.raises(UserError, match=r"a-instances\.png is missing"):
        Manifest.load(folder)


def test_a_manifest_of_version_0_1_still_reads(folder: Path, manifest: Manifest) -> None:
    manifest.save(folder)
    path = folder / "manifest.json"
    record = json.loads(path.read_text())
    del record["start_card"], record["items"][0]["instances"]
    path.write_text(json.dumps(record))

    assert Manifest.load(folder) == manifest


def test_a_moved_run_folder_still_finds_its_masks(folder: Path, manifest: Manifest) -> None:
    manifest.save(folder)
    moved = folder.rename(folder.with_name("elsewhere"))

    assert Manifest.load(moved).items[0].mask == moved / "masks" / "a.png"


def test_a_mask_outside_the_run_folder_is_refused(folder: Path, manifest: Manifest) -> None:
    outside = replace(manifest.items[0], mask=folder.parent / "a.png")

    with pytest.raises(UserError, match="outside the run folder"):
        replace(manifest, items=(outside,)).save(folder)


def test_a_mask_path_that_climbs_out_is_refused_on_reading(folder: Path, manifest: Manifest) -> None:
    manifest.save(folder)
    path = folder / "manifest.json"
    record = json.loads(path.read_text())
    record["items"][0]["mask"] = "masks/../../a.png"
    path.write_text(json.dumps(record))

    with pytest.raises(UserError, match="outside the run folder"):
        Manifest.load(folder)


def test_a_vanished_image_is_named(folder: Path, manifest: Manifest) -> None:
    manifest.save(folder)
    manifest.items[0].image.unlink()

    with pytest.raises(UserError, match=r"a\.png is missing"):
        Manifest.load(folder)


def test_one_class_is_not_enough(folder: Path, manifest: Manifest) -> None:
    replace(manifest, class_names=("bg",)).save(folder)

    with pytest.raises(UserError, match="two classes"):
        Manifest.load(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 9}'])
def test_a_damaged_manifest_is_one_sentence(folder: Path, text: str) -> None:
    (folder / "manifest.json").write_text(text)

    with pytest.raises(UserError, match="cannot be read"):
        Manifest.load(folder)
