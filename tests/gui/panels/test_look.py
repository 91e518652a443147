"""Panels fit a narrow column and can be used from the keyboard."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QAbstractButton, QAbstractSpinBox, QApplication, QPushButton

from segstudio.gui import theme
from segstudio.gui.panels.model import ModelPanel
from segstudio.gui.panels.proposal import ProposalPanel
from segstudio.gui.panels.refine import RefinePanel
from segstudio.gui.panels.training import TrainingPanel

PANELS = [ModelPanel, ProposalPanel, RefinePanel, TrainingPanel]
NARROW_PX = 260


@pytest.fixture
def dressed(qapp: QApplication):
    sheet, palette, font = qapp.styleSheet(), qapp.palette(), qapp.font()
    theme.manager().apply(qapp)
    yield
    qapp.setStyleSheet(sheet)
    qapp.setPalette(palette)
    qapp.setFont(font)


@pytest.mark.parametrize("kind", PANELS)
def test_it_fits_a_column_of_260_pixels(qtbot, dressed, workspace, fakes, kind):
    workspace.current.prediction = fakes.prediction()
    panel = kind()
    qtbot.addWidget(panel)
    panel.set_workspace(workspace)
    panel.show()
    assert panel.minimumSizeHint().width() <= NARROW_PX
    panel.resize(NARROW_PX, 700)
    qtbot.waitUntil(lambda: panel.width() == NARROW_PX)
    for child in panel.findChildren(QAbstractSpinBox):
        assert child.width() >= 80, child.accessibleName()
    for child in panel.findChildren(QPushButton):
        assert not child.isVisible() or child.width() >= child.minimumSizeHint().width(), child.text()


@pytest.mark.parametrize("kind", PANELS)
def test_every_button_is_named_explained_and_reached_by_tab(qtbot, workspace, kind):
    panel = kind()
    qtbot.addWidget(panel)
    panel.set_workspace(workspace)
    buttons = [b for b in panel.findChildren(QAbstractButton) if b.text()]
    assert buttons
    for button in buttons:
        assert button.toolTip(), button.text()
        assert button.focusPolicy() & Qt.FocusPolicy.TabFocus, button.text()


@pytest.mark.parametrize("kind", PANELS)
def test_it_shows_itself_without_a_project(qtbot, kind):
    panel = kind()
    qtbot.addWidget(panel)
    panel.show()
    assert not panel.grab().isNull() and not panel.error.isVisible()
