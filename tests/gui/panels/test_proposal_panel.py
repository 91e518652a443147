"""The proposal panel counts right and accepts what its buttons say."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import Qt

from segstudio.core.events import Change
from segstudio.core.prediction import NO_OPINION
from segstudio.gui.panels.proposal import ProposalPanel, summarize


@pytest.fixture
def panel(qtbot, workspace, fakes):
    workspace.current.prediction = fakes.prediction()
    widget = ProposalPanel()
    qtbot.addWidget(widget)
    widget.set_workspace(workspace)
    widget.set_active_class(1)
    widget.show()
    return widget


def test_summary_counts_undecided_pixels_by_class_and_confidence(fakes):
    decided = np.zeros((60, 80), bool)
    decided[:30, :40] = True
    summary = summarize(fakes.prediction(), decided)
    assert (summary.pixels, summary.open_pixels) == (4800, 3600)
    assert [(c.class_id, c.pixels) for c in summary.classes] == [(0, 2400), (1, 1200)]
    assert [c.confidence for c in summary.classes] == pytest.approx([0.2, 1.0])
    assert summary.bands == pytest.approx((2 / 3, 0, 1 / 3))
    assert summary.confidence == pytest.approx((2400 * 0.2 + 1200) / 3600)


def test_summary_of_a_decided_image_is_empty(fakes):
    summary = summarize(fakes.prediction(), np.ones((60, 80), bool))
    assert summary.open_pixels == 0 and summary.classes == () and summary.confidence == 0


def test_pixels_without_an_opinion_are_not_counted(panel, workspace, fakes):
    proposal = fakes.prediction()
    proposal.labels[:, 40:], proposal.confidence[:, 40:] = NO_OPINION, 0
    workspace.current.prediction = proposal
    workspace.current.map.decided[:30, :] = True
    workspace.emit(Change.PROPOSAL)
    assert (panel.summary.pixels, panel.summary.open_pixels) == (2400, 1200)
    assert [(c.class_id, c.pixels) for c in panel.summary.classes] == [(1, 1200)]
    assert panel.detail.text().startswith("1,200 of 2,400 proposed pixels undecided")
    workspace.current.map.decided[:, :40] = True
    workspace.emit(Change.PROPOSAL)
    assert panel.headline.text() == "Every proposed pixel is decided"


def test_buttons_accept_and_reject(qtbot, panel, workspace):
    for button in (panel.accept_all_button, panel.accept_class_button, panel.reject_button):
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert workspace.calls == [("accept_all",), ("accept_class", 1), ("reject",)]


def test_the_brush_button_asks_for_the_tool(qtbot, panel):
    with qtbot.waitSignal(panel.accept_brush_requested):
        qtbot.mouseClick(panel.accept_brush_button, Qt.MouseButton.LeftButton)


def test_a_row_of_the_table_chooses_its_class(qtbot, panel):
    with qtbot.waitSignal(panel.class_chosen) as heard:
        panel.table.itemActivated.emit(panel.table.topLevelItem(1), 0)
    assert heard.args == [1] and panel.table.topLevelItem(1).text(0) == "nucleus"


def test_accept_class_needs_a_class_the_proposal_holds(panel):
    assert panel.accept_class_button.isEnabled()
    panel.set_active_class(None)
    assert not panel.accept_class_button.isEnabled()


def test_without_a_proposal_it_says_how_to_get_one(panel, workspace):
    workspace.current.prediction = None
    workspace.emit(Change.PROPOSAL)
    assert panel.empty.isVisible() and not panel.body.isVisible()
    assert "Press R" in panel.empty.words.text()
    panel.accept_all()
    panel.reject()
    assert workspace.calls == []


def test_an_untrained_network_is_called_random(panel, workspace, fakes):
    assert not panel.warning.isVisible()
    workspace.current.prediction = fakes.prediction(trained=False)
    workspace.emit(Change.PROPOSAL)
    assert "random" in panel.warning.text() and panel.warning.isVisible()


def test_after_an_edit_the_pixels_are_counted_again(qtbot, panel, workspace):
    workspace.current.map.decided[:] = True
    workspace.emit(Change.HISTORY)
    qtbot.waitUntil(lambda: panel.summary.open_pixels == 0)
    assert panel.headline.text() == "Every pixel is decided" and not panel.accept_all_button.isEnabled()
