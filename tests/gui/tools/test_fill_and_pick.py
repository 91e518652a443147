"""Fill, class picker and the table of tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import Qt

from segstudio.core.catalog import IGNORE
from segstudio.gui.tools.registry import TOOLS, create_tools

if TYPE_CHECKING:
    from conftest import Bench

SHAPE = (120, 160)
ALT = Qt.KeyboardModifier.AltModifier


def columns(start: int, stop: int) -> npt.NDArray[np.bool_]:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[:, start:stop] = True
    return mask


def test_fill_gives_a_connected_decided_region_to_the_active_class(bench: Bench) -> None:
    bench.decide(columns(20, 50) | columns(80, 90), 2)
    bench.take("fill")
    bench.click(30.5, 60.5)
    assert np.array_equal(bench.ids == 1, columns(20, 50))
    assert np.array_equal(bench.ids == 2, columns(80, 90))
    assert [edit.name for edit in bench.edits] == ["Fill road"]


def test_fill_follows_the_proposal_that_is_on_show(bench: Bench) -> None:
    bench.propose(np.where(columns(40, 100), 2, 0).astype(np.uint8))
    bench.decide(columns(30, 40), 2)
    bench.take("fill")
    bench.click(60.5, 60.5)
    assert np.array_equal(bench.ids == 1, columns(30, 100))


def test_fill_of_nothing_stops_at_what_is_decided(bench: Bench) -> None:
    bench.decide(columns(40, 50), 2)
    bench.take("fill")
    bench.click(5.5, 5.5)
    assert np.array_equal(bench.ids == 1, columns(0, 40))


def test_ignore_and_nothing_are_different_regions(bench: Bench) -> None:
    bench.decide(columns(0, 40), IGNORE)
    bench.take("fill")
    bench.click(5.5, 5.5)
    assert np.array_equal(bench.ids == 1, columns(0, 40))


def test_fill_leaves_locked_classes_alone(bench: Bench) -> None:
    bench.decide(columns(0, 40), 3)
    bench.take("fill")
    bench.click(5.5, 5.5)
    assert np.array_equal(bench.ids == 3, columns(0, 40))
    assert bench.edits == []


def test_the_right_button_makes_a_region_undecided(bench: Bench) -> None:
    bench.decide(columns(20, 50), 2)
    bench.take("fill")
    bench.click(30.5, 60.5, Qt.MouseButton.RightButton)
    assert not bench.decided.any()


def test_fill_beside_the_image_does_nothing(bench: Bench) -> None:
    bench.take("fill")
    bench.click(-3.0, 20.0)
    assert bench.edits == []


def test_the_picker_reports_decided_proposed_and_ignored_labels(bench: Bench) -> None:
    bench.propose(np.full(SHAPE, 2, dtype=np.uint8))
    bench.decide(columns(0, 10), 1)
    bench.decide(columns(10, 20), IGNORE)
    bench.take("picker")
    for x in (5.5, 15.5, 60.5):
        bench.click(x, 60.5)
    assert bench.picked == [1, IGNORE, 2]
    assert bench.edits == []


def test_the_picker_says_where_nothing_is_labelled(bench: Bench) -> None:
    bench.take("picker")
    bench.click(50.5, 60.5)
    assert bench.picked == []
    assert bench.messages == ["Nothing is labelled here yet."]


def test_alt_click_picks_with_any_tool(bench: Bench) -> None:
    bench.decide(columns(0, 10), 2)
    bench.take("brush")
    bench.click(5.5, 60.5, keys=ALT)
    assert bench.picked == [2]
    assert bench.edits == []


def test_every_tool_has_a_name_a_title_and_a_sentence_of_its_own() -> None:
    tools = create_tools()
    assert list(tools) == [kind.name for kind in TOOLS]
    assert len({tool.title for tool in tools.values()}) == len(TOOLS)
    assert all(tool.hint.endswith(".") for tool in tools.values())
