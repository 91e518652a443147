"""Exports that are interrupted: the target is the old one or the new one, and the next export goes on."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from killed_export import labelled_images
from support import labelled_image

from segstudio.core.catalog import Catalog
from segstudio.core.errors import FormatError, UserError
from segstudio.core.segmentmap import SegmentMap
from segstudio.formats.options import ExportOptions
from segstudio.formats.registry import FORMATS, format_named
from segstudio.formats.stage import MARKER, Stage, staged

CATALOG = Catalog.from_names(["background", "car"])
_SCRIPT = Path(__file__).parent / "killed_export.py"


def run(name: str, out: Path, *, count: int = 12, die_at: int = -1, **options: Any) -> dict[str, int] | None:
    """What an export in a process of its own reports; None where it was killed."""
    arguments = [name, str(out), str(count), str(die_at), json.dumps(options)]
    done = subprocess.run([sys.executable, str(_SCRIPT), *arguments], capture_output=True, text=True, timeout=120)
    if done.returncode < 0:
        return None
    assert done.returncode == 0, done.stderr
    result: dict[str, int] = json.loads(done.stdout)
    return result


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, links to folders aside."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_killed_export_leaves_nothing_at_the_target_and_the_next_one_goes_on(name: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(name, out, die_at=9) is None
    assert not out.exists()
    report = run(name, out)
    assert report is not None
    assert report["images"] == 12
    assert 0 < report["resumed"] < 10
    assert sorted(p.name for p in tmp_path.iterdir()) == ["images", "out"]
    resumed = tree(out)
    shutil.rmtree(out)
    assert run(name, out) == {"images": 12, "resumed": 0}
    assert resumed == tree(out)


def test_a_killed_replacement_leaves_the_old_export_as_it_was(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run("voc", out, count=3)
    before = tree(out)
    assert run("voc", out, count=12, die_at=8, replace=True) is None
    assert tree(out) == before
    assert run("voc", out, count=12, replace=True) is not None
    assert len(tree(out)) > len(before)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["images", "out"]


def test_an_export_of_other_labels_or_options_does_not_go_on_with_the_old_one(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run("index-png", out, die_at=9)
    report = run("index-png", out, border=1)
    assert report == {"images": 12, "resumed": 0}


def test_what_changed_since_the_interruption_is_written_anew_and_so_is_what_follows(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run("coco", out, die_at=10)
    images = labelled_images(tmp_path / "images", 12)
    changed = SegmentMap.empty(20, 30)
    images[2] = replace(images[2], load=lambda: changed, revision=2)
    report = format_named("coco").export(images, CATALOG, out)
    assert report.resumed == 2
    content = json.loads((out / "annotations/instances.json").read_text())
    assert [a["id"] for a in content["annotations"]] == list(range(1, len(content["annotations"]) + 1))
    assert 3 not in {a["image_id"] for a in content["annotations"]}


@pytest.mark.parametrize("damage", ["torn", "short", "gone", "foreign"])
def test_a_damaged_journal_costs_work_never_the_export(damage: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run("coco", out, die_at=10)
    unfinished = tmp_path / ".out.unfinished"
    journal = unfinished / "journal"
    lines = journal.read_text().splitlines(keepends=True)
    if damage == "torn":
        journal.write_text("".join(lines[:-1]) + lines[-1][: len(lines[-1]) // 2])
    elif damage == "short":
        for path in (unfinished / "streams").iterdir():
            path.write_bytes(path.read_bytes()[:10])
    elif damage == "gone":
        for path in (unfinished / "streams").iterdir():
            path.unlink()
    else:
        journal.write_bytes(b"\xff\x00[1, 2]\n{}\n")
    assert run("coco", out) is not None
    run("coco", tmp_path / "whole")
    assert tree(out) == tree(tmp_path / "whole")


def test_a_full_disk_keeps_what_is_done_and_the_next_export_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = labelled_images(tmp_path / "images", 12)
    write = Path.write_bytes
    room = [7]

    def filling(path: Path, data: bytes) -> int:
        if room[0] == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        room[0] -= 1
        return write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", filling)
        with pytest.raises(UserError, match="The disk is full; out was not written"):
            format_named("index-png").export(images, CATALOG, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    report = format_named("index-png").export(images, CATALOG, tmp_path / "out")
    assert report.images == 12
    assert report.resumed > 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["images", "out"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("name", ["coco", "cvat"])
def test_a_disk_too_full_for_the_last_records_is_one_sentence_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    images = labelled_images(tmp_path / "images", 3)
    opened = Path.open

    def full(path: Path, *arguments: Any, **options: Any) -> Any:
        return opened(Path("/dev/full") if path.parent.name == "streams" else path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        with pytest.raises(UserError, match="The disk is full; out was not written"):
            format_named(name).export(images, CATALOG, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["images"]


def test_only_an_earlier_export_is_replaced_and_only_when_asked(tmp_path: Path) -> None:
    image = labelled_image(tmp_path / "images", "a.png", SegmentMap.empty(4, 5))
    chosen, out = format_named("index-png"), tmp_path / "out"
    chosen.export([image], CATALOG, out)
    (out / "note.txt").write_text("mine")
    with pytest.raises(FormatError, match="holds an earlier export"):
        chosen.export([image], CATALOG, out)
    chosen.export([image], CATALOG, out, options=ExportOptions(replace=True))
    assert not (out / "note.txt").exists()
    (out / MARKER).unlink()
    with pytest.raises(FormatError, match="is not empty"):
        chosen.export([image], CATALOG, out, options=ExportOptions(replace=True))
    assert (out / "a.png").exists()


def test_a_zip_holds_what_the_folder_would_and_replaces_only_another_export(tmp_path: Path) -> None:
    images = labelled_images(tmp_path / "images", 3)
    chosen, options = format_named("voc"), ExportOptions(zip=True)
    chosen.export(images, CATALOG, tmp_path / "folder")
    chosen.export(images, CATALOG, tmp_path / "packed", options=options)
    with zipfile.ZipFile(tmp_path / "packed.zip") as archive:
        assert archive.testzip() is None
        packed = {name: archive.read(name) for name in archive.namelist()}
    linked = {n: d for n, d in tree(tmp_path / "folder").items() if not n.startswith("VOCdevkit/")}
    assert packed == linked
    with pytest.raises(FormatError, match=r"packed\.zip exists already"):
        chosen.export(images, CATALOG, tmp_path / "packed", options=options)
    chosen.export(images, CATALOG, tmp_path / "packed", options=replace(options, replace=True))
    (tmp_path / "mine.zip").write_bytes(b"no zip of ours")
    with pytest.raises(FormatError, match=r"mine\.zip exists already"):
        chosen.export(images, CATALOG, tmp_path / "mine.zip", options=replace(options, replace=True))
    assert (tmp_path / "mine.zip").read_bytes() == b"no zip of ours"


def test_two_exports_to_one_place_at_once_are_refused_and_the_first_one_ends_well(tmp_path: Path) -> None:
    image = labelled_image(tmp_path / "images", "a.png", SegmentMap.empty(4, 5))
    out = tmp_path / "out"
    with staged(out) as first:
        first.begin({"format": "x"}, ["a"])
        with pytest.raises(FormatError, match="Another export to out is at work"):
            format_named("index-png").export([image], CATALOG, out)
        assert first.data.is_dir()
        (first.data / "file").write_text("whole")
    assert (out / "file").read_text() == "whole"


def test_streams_are_cut_back_to_what_the_journal_says(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "out")
    stage.begin({"f": 1}, ["a", "b"])
    stage.streams.append("s", "1")
    stage.commit({"key": "a"})
    stage.streams.append("s", "2")
    stage.streams.append("t", "3")
    stage.streams.state()
    stage.close(keep=True)
    again = Stage(tmp_path / "out")
    assert [line["key"] for line in again.begin({"f": 1}, ["a", "b"])] == ["a"]
    assert (again.streams.count("s"), again.streams.count("t")) == (1, 0)
    again.streams.append("s", "4")
    again.streams.state()
    assert (tmp_path / ".out.unfinished/streams/s").read_text() == "\n1,\n4"
    again.close(keep=False)
    assert not (tmp_path / ".out.unfinished").exists()
