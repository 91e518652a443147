"""Class ids stay what they are; files and palettes give the classes they name."""

from __future__ import annotations

from pathlib import Path

import pytest

from segstudio.core.catalog import PALETTES, Catalog, Kind, LabelClass, voc_color
from segstudio.core.errors import UserError


def test_voc_colors_follow_the_published_table() -> None:
    assert [voc_color(i) for i in (0, 1, 2, 15, 20)] == [
        (0, 0, 0),
        (128, 0, 0),
        (0, 128, 0),
        (192, 128, 128),
        (0, 64, 128),
    ]
    assert voc_color(255) == (224, 224, 192)


def test_moving_and_deleting_never_renumber() -> None:
    catalog = Catalog.from_names(["background", "cat", "dog"])
    moved = catalog.moved(2, 0)
    assert moved.ids == (2, 0, 1)
    assert moved.sorted_ids == (0, 1, 2)
    less = moved.without(1)
    assert less.sorted_names == ("background", "dog")
    assert less.index_of(2) == 1
    assert less.next_id() == 1


def test_json_gives_the_same_catalog_back() -> None:
    catalog = Catalog.from_names(["background", "Bäume"]).with_class(
        LabelClass(id=9, name="car", color=(1, 2, 3), kind=Kind.STUFF, hidden=True, locked=True)
    )
    assert Catalog.from_json(catalog.to_json()) == catalog


@pytest.mark.parametrize(("name", "count"), [("voc", 21), ("camvid", 11), ("cityscapes", 19)])
def test_palettes_hold_the_published_classes(name: str, count: int) -> None:
    assert name in PALETTES
    assert Catalog.from_palette(name).sorted_ids == tuple(range(count))


def test_a_classes_file_may_be_text_or_toml(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("background\n\nroad\n", encoding="utf-8")
    (tmp_path / "b.toml").write_text('[[classes]]\nname = "x"\ncolor = [9, 8, 7]\nkind = "stuff"\n', encoding="utf-8")
    assert Catalog.from_file(tmp_path / "a.txt").names == ("background", "road")
    assert next(iter(Catalog.from_file(tmp_path / "b.toml"))).color == (9, 8, 7)


@pytest.mark.parametrize(
    "text", ["", "a\nA\n", "\n".join(f"c{i}" for i in range(256))], ids=["empty", "same name twice", "too many"]
)
def test_a_bad_classes_file_gets_a_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "classes.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError):
        Catalog.from_file(path)


def test_a_classes_file_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "classes.toml"
    with path.open("wb") as file:
        file.truncate(8 << 30)
    with pytest.raises(UserError, match=r"classes\.toml is larger than any list of 255 classes"):
        Catalog.from_file(path)


def test_a_bad_toml_classes_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "classes.toml"
    path.write_text('[[classes]]\nname = "x"\ncolor = [1, 2]\n', encoding="utf-8")
    with pytest.raises(UserError, match=r"classes\.toml"):
        Catalog.from_file(path)


def test_background_is_recognised_by_id_and_name() -> None:
    assert Catalog.from_names(["Background", "x"]).background_id == 0
    assert Catalog.from_names(["sky", "background"]).background_id is None
