"""Importing a checkpoint from the window: one at a time, with its sentences, and cancelled without a trace."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from segstudio.core.errors import UserError
from segstudio.core.events import Change
from segstudio.core.jobs import ErrorKind, ErrorReport, JobState, Progress
from segstudio.core.paths import user_data_dir
from segstudio.engine.protocol import Failed, Finished, Imported, ImportSpec, Progressed
from segstudio.nets.card import find_card, save_card
from segstudio.services.checkpoints import ImportedCard
from segstudio.services.tasks import QueueDispatcher
from segstudio.services.workspace import Workspace

FILE = Path("/somewhere/net.pth")


@pytest.fixture
def asked(workspace: Workspace) -> tuple[list[ImportedCard], list[UserError], Any]:
    """What comes of an import, and the listener that the engine answers to."""
    done: list[ImportedCard] = []
    errors: list[UserError] = []
    workspace.checkpoints.import_file(FILE, on_done=done.append, on_error=errors.append)
    question, listener = workspace.engine.questions[0]  # type: ignore[attr-defined]
    assert question == ImportSpec(str(FILE), str(user_data_dir() / "cards"), "")
    return done, errors, listener


def test_an_import_ends_with_a_card_that_can_be_chosen(
    workspace: Workspace, dispatcher: QueueDispatcher, asked: tuple[list[ImportedCard], list[UserError], Any]
) -> None:
    done, _, listener = asked
    listener(Progressed(Progress(None, "Reading net.pth")))
    assert dispatcher.run_until(lambda: workspace.jobs.running[0].text == "Reading net.pth", timeout=20)
    folder = user_data_dir() / "cards"
    folder.mkdir(parents=True)
    card = save_card(replace(find_card("fcn8s"), id="net", origin="somebody/else"), folder / "net.toml")
    heard: list[Change] = []
    workspace.changed.connect(lambda change: heard.append(change.what))
    listener(Finished(Imported(str(card.path), ("It is FCN-8s.", "Left out: nothing."))))
    assert dispatcher.run_until(lambda: bool(done), timeout=20)
    assert done == [ImportedCard("net", ("It is FCN-8s.", "Left out: nothing."))]
    assert Change.MODELS in heard
    assert "net" in [info.card.id for info in workspace.models.cards()]
    assert not workspace.checkpoints.busy
    assert [(r.state, r.title) for r in workspace.jobs.records] == [(JobState.DONE, "Importing net.pth")]


def test_a_file_that_is_no_checkpoint_is_one_sentence(
    workspace: Workspace, dispatcher: QueueDispatcher, asked: tuple[list[ImportedCard], list[UserError], Any]
) -> None:
    done, errors, listener = asked
    listener(Failed(ErrorReport(ErrorKind.USER, "net.pth is a web page.", "Download it again.")))
    assert dispatcher.run_until(lambda: bool(errors), timeout=20)
    assert str(errors[0]) == "net.pth is a web page. Download it again."
    assert done == []
    assert not workspace.checkpoints.busy


def test_a_second_import_waits_for_the_first(
    workspace: Workspace, asked: tuple[list[ImportedCard], list[UserError], Any]
) -> None:
    with pytest.raises(UserError, match="Another checkpoint is being imported"):
        workspace.checkpoints.import_file(FILE, on_done=lambda _card: None, on_error=lambda _error: None)


def test_cancelling_an_import_hears_nothing_more(
    workspace: Workspace, dispatcher: QueueDispatcher, asked: tuple[list[ImportedCard], list[UserError], Any]
) -> None:
    done, errors, listener = asked
    workspace.jobs.cancel(workspace.jobs.running[0].id)
    assert not workspace.checkpoints.busy
    listener(Failed(ErrorReport(ErrorKind.USER, "Too late.")))
    dispatcher.run_until(lambda: False, timeout=0.3)
    assert (done, errors) == ([], [])
    assert workspace.jobs.records[-1].state is JobState.CANCELLED
