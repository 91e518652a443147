"""Which networks there are, what each can do here, which one is in use, and the way back to the one before."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from segstudio.core.errors import ModelError
from segstudio.core.events import Change
from segstudio.core.paths import models_dir, user_data_dir
from segstudio.nets.card import ModelCard, find_card, list_cards
from segstudio.project.project import Project
from segstudio.project.runs import RunRecord
from segstudio.services.downloads import download_text
from segstudio.services.fitting import Capacity, capacity_of, limit_of, needs_text
from segstudio.services.sections import place_of, section_of

if TYPE_CHECKING:
    from segstudio.services.workspace import Workspace

DEFAULT_MODEL: Final = "unet-small"
_ACTIVE_KEY: Final = "active_model"
_PREVIOUS_KEY: Final = "previous_models"
_PREVIOUS_KEPT: Final = 50


@dataclass(frozen=True, slots=True)
class CardInfo:
    """A card as the chooser shows it.

    Attributes:
        card: The card.
        usable: False where it cannot propose here at all; `limit` says why.
        knows_classes: True where it was trained on exactly the project's classes.
        note: One sentence on what to expect of it here.
        fits: False where memory is short for proposing or for training; `limit` says for which.
        limit: One sentence on what it cannot do on this device, or "".
        section: The heading it is listed under.
        needs: Memory to propose and to train in words, or "".
        download: What is fetched before its first use in words, or "".
    """

    card: ModelCard
    usable: bool
    knows_classes: bool
    note: str
    fits: bool = True
    limit: str = ""
    section: str = ""
    needs: str = ""
    download: str = ""


def card_folders() -> list[Path]:
    """Where cards live: those we ship and those a person added."""
    return [models_dir() / "cards", user_data_dir() / "cards"]


def project_card(project: Project, name: str | None) -> ModelCard:
    """The card of that id or path, as the project knows it; the project's card in use where None.

    Raises:
        ModelError: There is none.
    """
    wanted = name or str(project.setting(_ACTIVE_KEY, DEFAULT_MODEL))
    made = made_by_run(project.runs(), wanted)
    return made[1] if made is not None else find_card(wanted, [f for f in card_folders() if f.is_dir()])


def made_by_run(runs: Iterable[RunRecord], name: str) -> tuple[RunRecord, ModelCard] | None:
    """The run that made the card of that id or path, and the card; None where none of them did."""
    for run in runs:
        card = _card_of(run.card)
        if card is not None and name in (card.id, str(card.path), f"run-{run.id}"):
            return run, card
    return None


def _card_of(path: str | None) -> ModelCard | None:
    """The card of a run; None where the run made none or its file is gone."""
    if path is None or not Path(path).is_file():
        return None
    try:
        return find_card(path)
    except ModelError:
        return None


class ModelService:
    """The cards of one workspace: shipped, added by the person, and made by the project's own runs."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._kept: ModelCard | None = None
        self._shelf: tuple[object, tuple[ModelCard, ...]] = (None, ())

    def cards(self) -> list[CardInfo]:
        """Every card that can be chosen, section by section: the project's newest run comes first."""
        runs = [card for run in reversed(self._workspace.project.runs()) if (card := _card_of(run.card))]
        capacity = self._capacity()
        others = [self._describe(card, capacity) for card in self._others()]
        others.sort(key=lambda info: place_of(info.card, info.section, knows_classes=info.knows_classes))
        return [*(self._describe(card, capacity) for card in runs), *others]

    def _others(self) -> tuple[ModelCard, ...]:
        """The cards that belong to no run; read again only where a file changed, as panels ask often."""
        folders = [folder for folder in card_folders() if folder.is_dir()]
        stamps = [(path, path.stat().st_mtime_ns) for folder in folders for path in sorted(folder.glob("*.toml"))]
        if self._shelf[0] != stamps:
            self._shelf = (stamps, list_cards(*folders).cards)
        return self._shelf[1]

    @property
    def active(self) -> ModelCard:
        """The card in use; the default where none was chosen or the chosen one is gone."""
        # Asked several times for every image shown; finding it means reading every card there is.
        kept = self._kept
        if kept is None or kept.path is None or not kept.path.is_file():
            name = self._workspace.project.setting(_ACTIVE_KEY, DEFAULT_MODEL)
            try:
                kept = self.find(name)
            except ModelError:
                kept = self.find(DEFAULT_MODEL)
            self._kept = kept
        return kept

    @property
    def active_info(self) -> CardInfo:
        """The card in use with what to expect of it."""
        return self._describe(self.active, self._capacity())

    @property
    def previous(self) -> ModelCard | None:
        """The card in use before, or None."""
        for name in reversed(self._workspace.project.setting(_PREVIOUS_KEY, [])):
            try:
                return self.find(name)
            except ModelError:
                continue
        return None

    def find(self, name: str) -> ModelCard:
        """The card with that id or path; the project's own runs are known by their card's id too.

        Raises:
            ModelError: There is none.
        """
        return project_card(self._workspace.project, name)

    def use(self, name: str) -> ModelCard:
        """Makes a card the one in use; the one before can be gone back to.

        Raises:
            ModelError: There is no such card, or it cannot run here.
        """
        card, before = self.find(name), self.active
        if card.id != before.id:
            info = self._describe(card, self._capacity())
            if not info.usable:
                raise ModelError(f"{card.title or card.id} cannot run here.", info.limit)
            previous = self._workspace.project.setting(_PREVIOUS_KEY, [])
            self._set(_PREVIOUS_KEY, [*previous, _name(before)][-_PREVIOUS_KEPT:])
            self._activate(card)
        return card

    def go_back(self) -> ModelCard | None:
        """Makes the card used before the one in use again; None where there is none."""
        names = list(self._workspace.project.setting(_PREVIOUS_KEY, []))
        while names:
            try:
                card = self.find(names.pop())
            except ModelError:
                continue
            self._set(_PREVIOUS_KEY, names)
            self._activate(card)
            self._workspace.say("info", f"{card.title or card.id} is in use again.")
            return card
        self._workspace.say("info", "There is no earlier model to go back to.")
        return None

    def adopt(self, run_id: int) -> ModelCard:
        """Makes the model of a run the one in use, whatever the gate said.

        Raises:
            ModelError: The run made no model.
        """
        run = self._workspace.project.run(run_id)
        card = _card_of(run.card)
        if card is None:
            raise ModelError(f"Run {run_id} made no model.", "Train again.")
        return self.use(_name(card))

    def knows_classes(self, card: ModelCard) -> bool:
        """True where the card was trained on exactly the project's classes, by name and order."""
        wanted = [n.casefold() for n in self._workspace.catalog.sorted_names]
        return card.trained and [n.casefold() for n in card.classes] == wanted

    def can_propose(self, card: ModelCard) -> bool:
        """True where the card was trained and every class it knows is one of the project's."""
        names = {n.casefold() for n in self._workspace.catalog.names}
        return card.trained and bool(card.classes) and all(n.casefold() in names for n in card.classes)

    def _capacity(self) -> Capacity:
        return capacity_of(self._workspace.predicting.device_info)

    def _describe(self, card: ModelCard, capacity: Capacity) -> CardInfo:
        knows = self.knows_classes(card)
        if knows:
            miou = card.metrics.get("miou")
            note = "Trained on your classes" + (f", mean IoU {miou:.2f}." if miou is not None else ".")
        elif self.can_propose(card):
            unknown = len(self._workspace.catalog) - len(card.classes)
            note = f"Trained on all your classes but {unknown}; train once more to teach it the rest."
        elif card.trained:
            note = f"Trained on other classes ({', '.join(card.classes[:4])}); training adapts it to yours."
        else:
            note = "Not trained yet: its proposals are random until you train it."
        limit = limit_of(card, capacity)
        return CardInfo(
            card,
            usable=limit.usable,
            knows_classes=knows,
            note=note,
            fits=limit.fits,
            limit=limit.sentence,
            section=section_of(card, self._workspace.project.path),
            needs=needs_text(card, capacity),
            download=download_text(card),
        )

    def _activate(self, card: ModelCard) -> None:
        self._set(_ACTIVE_KEY, _name(card))
        self._kept = card
        self._workspace.emit(Change.MODELS)
        self._workspace.predicting.model_changed()

    def _set(self, key: str, value: object) -> None:
        self._workspace.project.set_setting(key, value)


def _name(card: ModelCard) -> str:
    """What the project remembers of a card: ids survive a move of the project, paths do not."""
    return card.id
