"""The table of actions: whole, free of clashes, and reachable."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMenu

from segstudio.gui.actions import Actions
from segstudio.gui.dialogs.shortcuts_help import ShortcutsDialog
from segstudio.gui.main_window import MainWindow
from segstudio.gui.shortcuts import load_specs, native

_ROW = '[[action]]\nid = "{id}"\ntitle = "T"\nmenu = "File"\nhelp = "h"\nkeys = ["{key}"]\n'


def test_the_table_has_unique_ids_and_keys() -> None:
    specs = load_specs()
    keys = [key for spec in specs for key in (*spec.keys, *spec.hold_keys)]
    assert len({spec.id for spec in specs}) == len(specs) > 40
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (_ROW.format(id="a", key="Ctrl+Y") + _ROW.format(id="a", key="X"), "a occurs twice"),
        (_ROW.format(id="a", key="Ctrl+Y") + _ROW.format(id="b", key="ctrl+y"), "given twice"),
        (_ROW.format(id="a", key="Q").replace('"File"', '"Fiel"'), "in no menu"),
        (_ROW.format(id="a", key="Q") + 'icon = "nothing"\n', "unknown icon"),
        (_ROW.format(id="a", key="Q") + 'when = ["moon"]\n', "something unknown"),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(tmp_path: Path, rows: str, sentence: str) -> None:
    path = tmp_path / "table.toml"
    path.write_text(rows, encoding="utf-8")
    with pytest.raises(ValueError, match=sentence):
        load_specs(path)


@pytest.mark.parametrize(
    ("action_id", "key"),
    [
        ("previous_image", "A"),
        ("next_image", "D"),
        ("next_unfinished", "Shift+D"),
        ("undo", "Ctrl+Z"),
        ("redo", "Ctrl+Shift+Z"),
        ("redo", "Ctrl+Y"),
        ("brush", "B"),
        ("eraser", "E"),
        ("polygon", "P"),
        ("fill", "G"),
        ("pick", "I"),
        ("brush_smaller", "["),
        ("brush_larger", "."),
        ("predict", "R"),
        ("refine", "C"),
        ("accept_all", "Return"),
        ("accept_class", "Shift+Return"),
        ("reject", "X"),
        ("mark_reviewed", "M"),
        ("train", "T"),
        ("export", "Ctrl+E"),
        ("shortcuts", "F1"),
    ],
)
def test_the_keys_people_know_are_in_place(action_id: str, key: str) -> None:
    assert key in next(spec for spec in load_specs() if spec.id == action_id).keys


def _entries(menu: QMenu) -> set[str]:
    return {action.objectName() for action in menu.actions() if not action.isSeparator()}


def test_every_action_is_reachable_by_menu_and_does_something(window: MainWindow) -> None:
    menus = [action.menu() for action in window.menuBar().actions()]
    listed = set().union(*(_entries(menu) for menu in menus if isinstance(menu, QMenu)))
    assert listed == {spec.id for spec in window.actions_table.specs}
    assert window.actions_table.unbound == []


def test_tooltips_name_title_and_key(window: MainWindow) -> None:
    assert window.actions_table["brush"].toolTip().startswith(f"Brush ({native('B')})")


def test_actions_are_enabled_exactly_while_their_facts_hold(window: MainWindow) -> None:
    actions: Actions = window.actions_table
    assert actions["open_folder"].isEnabled()
    assert not actions["brush"].isEnabled()
    actions.set_facts({"project", "image"})
    assert actions["brush"].isEnabled()
    assert not actions["undo"].isEnabled()
    actions.set_facts({"project", "image", "can_undo"})
    assert actions["undo"].isEnabled()


def test_a_bound_action_runs_its_command(window: MainWindow) -> None:
    action: QAction = window.actions_table["theme"]
    before = window.themes.theme.dark
    action.trigger()
    assert window.themes.theme.dark is not before


def test_the_help_lists_every_key_and_narrows_by_search(window: MainWindow, qtbot) -> None:  # type: ignore[no-untyped-def]
    specs = window.actions_table.specs
    dialog = ShortcutsDialog(specs, window)
    qtbot.addWidget(dialog)
    text = " ".join(row[0] for row in dialog.rows)
    assert all(spec.plain_title.casefold() in text for spec in specs if spec.keys)
    dialog.search.setText("undo")
    visible = [row[0] for row in dialog.rows if not row[1][1].isHidden()]
    assert visible
    assert all("undo" in row for row in visible)


def test_every_key_that_the_user_guide_names_is_in_the_table() -> None:
    guide = Path(__file__).parents[3] / "docs" / "user-guide.md"
    named = re.findall(r"\[([^\]]+)\](?!\()", guide.read_text(encoding="utf-8"))
    keys = {key for spec in load_specs() for key in (*spec.keys, *spec.hold_keys)}
    wanted = {key for text in named for key in re.split(r" (?:or|and|to) ", text) if not key.startswith("`")}
    assert wanted - keys == set()
