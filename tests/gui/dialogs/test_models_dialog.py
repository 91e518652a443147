"""The dialog of all models finds, explains and uses a card."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt

from segstudio.gui.dialogs.models import ModelsDialog


@pytest.fixture
def dialog(qtbot, workspace):
    widget = ModelsDialog(workspace)
    qtbot.addWidget(widget)
    widget.show()
    return widget


def test_it_opens_on_the_model_in_use(dialog):
    assert dialog.title.text() == "U-Net small, run 3" and not dialog.use_button.isEnabled()


def test_searching_by_paper_finds_and_shows_the_card(dialog):
    dialog.search.setText("shelhamer voc")
    assert dialog.title.text() == "FCN-8s"
    assert dialog.values["Parameters"].text() == "134.0 million" and "CVPR" in dialog.values["Paper"].text()
    assert not dialog.form.isRowVisible(dialog.values["Measured here"])


def test_a_search_without_a_match_says_so(dialog):
    dialog.search.setText("zzz")
    assert dialog.nothing.isVisible() and not dialog.use_button.isEnabled() and dialog.title.text() == ""
    dialog.search.clear()
    assert not dialog.nothing.isVisible() and dialog.title.text()


def test_use_puts_the_card_to_use(qtbot, dialog, workspace):
    dialog.cards.setCurrentRow(1)
    qtbot.mouseClick(dialog.use_button, Qt.MouseButton.LeftButton)
    assert workspace.calls == [("use", "fcn8s")]


def test_a_refused_card_shows_one_sentence(dialog, workspace):
    workspace.models.refuse = "The weights are missing."
    dialog.cards.setCurrentRow(1)
    dialog.use()
    assert dialog.error.isVisible() and dialog.error.text() == "The weights are missing."
