"""The image list and the class list."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from segstudio.core.catalog import IGNORE, Catalog
from segstudio.core.items import ImageItem, Split, Status
from segstudio.core.segmentmap import SegmentMap
from segstudio.gui.panels.class_model import EYE, LOCK, NAME, SHARE
from segstudio.gui.panels.classes import ClassesPanel
from segstudio.gui.panels.images import ImagesPanel
from segstudio.gui.panels.view import radius_to_slider, slider_to_radius
from segstudio.gui.shares import class_shares


def _items(count: int) -> list[ImageItem]:
    states = list(Status)
    return [
        ImageItem(
            id=number,
            path=Path(f"/pictures/img_{number:05d}.png"),
            name=f"img_{number:05d}.png",
            status=states[number % 3],
            split=Split.VALIDATION if number % 6 == 2 else Split.TRAIN,
            problem="img is damaged." if number % 1000 == 5 else None,
        )
        for number in range(count)
    ]


@pytest.fixture
def images(qtbot: QtBot, themed: object) -> ImagesPanel:
    panel = ImagesPanel()
    panel.resize(240, 600)
    qtbot.addWidget(panel)
    panel.show()
    return panel


def test_twenty_thousand_images_list_filter_and_draw_quickly(images: ImagesPanel) -> None:
    items = _items(20_000)
    start = time.perf_counter()
    images.set_items(items)
    images.search.setText("img_19")
    images._apply_filter()
    images.grab()
    seconds = time.perf_counter() - start
    assert images.model.rowCount() == 1000
    assert images.count.text() == "6,666 of 20,000 reviewed"
    assert seconds < 2.0  # 0.1 s on two idle cores; a per-row cost in Python layout code would take ten times that


def test_the_status_filter_keeps_only_that_status(images: ImagesPanel) -> None:
    images.set_items(_items(30))
    images.status.setCurrentIndex(images.status.findData(Status.REVIEWED))
    assert {images.model.item(row).status for row in range(images.model.rowCount())} == {Status.REVIEWED}
    images.status.setCurrentIndex(images.status.findData("problem"))
    assert [images.model.item(row).id for row in range(images.model.rowCount())] == [5]


def test_choosing_a_row_asks_for_that_image_and_marking_does_not(images: ImagesPanel, qtbot: QtBot) -> None:
    images.set_items(_items(10))
    with qtbot.assertNotEmitted(images.chosen):
        images.set_current(3)
    with qtbot.waitSignal(images.chosen) as signal:
        images.view.setCurrentIndex(images.model.index(7))
    assert signal.args == [7]


def test_a_changed_status_updates_row_and_count(images: ImagesPanel) -> None:
    items = _items(9)
    images.set_items(items)
    images.update_item(replace(items[0], status=Status.REVIEWED), before=items[0].status)
    assert images.count.text() == "4 of 9 reviewed"
    assert images.model.item(0).status is Status.REVIEWED


def test_the_tooltip_tells_the_problem_of_an_image(images: ImagesPanel) -> None:
    images.set_items(_items(10))
    text = images.model.data(images.model.index(5), Qt.ItemDataRole.ToolTipRole)
    assert "img is damaged." in text


def test_an_empty_list_says_what_to_do(images: ImagesPanel) -> None:
    images.set_items([])
    assert images.stack.currentWidget() is images.empty
    assert "F5" in images.empty.text()
    images.set_items(_items(3))
    images.search.setText("nothing like it")
    images._apply_filter()
    assert "Clear the search" in images.empty.text()


@pytest.fixture
def classes(qtbot: QtBot, themed: object) -> ClassesPanel:
    panel = ClassesPanel()
    qtbot.addWidget(panel)
    panel.set_catalog(Catalog.from_names(["background", "cell", "nucleus"]))
    panel.catalog_edited.connect(panel.set_catalog)
    return panel


def test_digits_choose_classes_by_row_and_zero_chooses_ignore(classes: ClassesPanel, qtbot: QtBot) -> None:
    with qtbot.waitSignal(classes.class_chosen) as signal:
        classes.choose_by_key(3)
    assert signal.args == [2]
    classes.choose_by_key(0)
    assert classes.current_class() == IGNORE
    classes.choose_by_key(9)
    assert classes.current_class() == IGNORE


def test_the_first_choice_is_no_background(classes: ClassesPanel) -> None:
    classes.choose_first()
    assert classes.current_class() == 1


def test_eye_and_lock_toggle_the_class_and_leave_the_one_in_hand(classes: ClassesPanel) -> None:
    classes.resize(300, 200)
    classes.show()
    classes.set_current_class(2)
    for column in (EYE, LOCK):
        index = classes.model.index(1, column)
        QTest.mouseClick(
            classes.view.viewport(),
            Qt.MouseButton.LeftButton,
            Qt.KeyboardModifier.NoModifier,
            classes.view.visualRect(index).center(),
        )
    assert classes.model.catalog[1].hidden
    assert classes.model.catalog[1].locked
    assert not classes.model.catalog[0].hidden
    assert classes.current_class() == 2


def test_renaming_keeps_id_and_colour(classes: ClassesPanel) -> None:
    before = classes.model.catalog[2]
    assert classes.model.setData(classes.model.index(2, NAME), "mitosis")
    assert classes.model.catalog[2] == replace(before, name="mitosis")


def test_an_empty_name_is_not_taken(classes: ClassesPanel) -> None:
    assert not classes.model.setData(classes.model.index(2, NAME), "   ")
    assert classes.model.catalog[2].name == "nucleus"


def test_a_new_class_gets_a_free_id_and_becomes_current(classes: ClassesPanel) -> None:
    classes.add_class()
    assert classes.model.catalog.ids == (0, 1, 2, 3)
    assert classes.current_class() == 3


def test_shares_show_as_percent(classes: ClassesPanel) -> None:
    classes.set_shares({1: 0.25, 2: 0.001})
    texts = [classes.model.data(classes.model.index(row, SHARE)) for row in range(4)]
    assert texts == ["", "25 %", "<1 %", ""]


def test_shares_count_decided_pixels_of_the_whole_image() -> None:
    labels = np.zeros((10, 10), np.uint8)
    labels[:5] = 1
    decided = np.zeros((10, 10), bool)
    decided[:, :5] = True
    shares = class_shares(SegmentMap.from_semantic(labels, decided))
    assert shares == {0: pytest.approx(0.25), 1: pytest.approx(0.25)}


def test_the_size_slider_and_the_radius_agree() -> None:
    assert slider_to_radius(0) == pytest.approx(0.5)
    assert slider_to_radius(200) == pytest.approx(500)
    for radius in (0.5, 3.0, 12.0, 250.0):
        assert slider_to_radius(radius_to_slider(radius)) == pytest.approx(radius, rel=0.04)
