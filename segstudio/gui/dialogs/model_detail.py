"""Everything a card says, what it can do on this device, and how fast it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QFormLayout, QFrame, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from segstudio.gui import icons, theme
from segstudio.gui.dialogs.busy import BusyLine
from segstudio.gui.panels.common import key_button, label, set_text

if TYPE_CHECKING:
    from segstudio.services.models import CardInfo

FACTS: Final = (
    "Paper",
    "Reported",
    "Classes",
    "Parameters",
    "Memory",
    "Download",
    "Speed",
    "Measured here",
    "Licence",
    "Weights",
    "Imported from",
    "Id",
)
_CLASSES_SHOWN: Final = 8
_GLYPH_PX: Final = 18


def facts(info: CardInfo) -> dict[str, str]:
    """What a card says, by the names in FACTS; empty where it says nothing."""
    card = info.card
    said = {
        "Paper": card.paper,
        "Reported": card.merit,
        "Classes": _classes(card.classes),
        "Parameters": f"{card.parameters / 1e6:.1f} million" if card.parameters else "",
        "Memory": info.needs,
        "Download": info.download,
        "Measured here": ", ".join(_measured(name, value) for name, value in card.metrics.items()),
        "Licence": card.license,
        "Weights": card.weights.license if card.weights is not None else "",
        "Imported from": card.origin,
        "Id": card.id,
    }
    return {name: said.get(name, "") for name in FACTS}


def _classes(names: tuple[str, ...]) -> str:
    if not names:
        return "any"
    more = f" and {len(names) - _CLASSES_SHOWN} more" if len(names) > _CLASSES_SHOWN else ""
    return f"{len(names)}: {', '.join(names[:_CLASSES_SHOWN])}{more}"


def _measured(name: str, value: float) -> str:
    """One score as a person reads it: "mean IoU 0.989", "17,550 pixels"."""
    if name == "pixels":
        return f"{value:,.0f} pixels"
    return f"{'mean IoU' if name == 'miou' else name.replace('_', ' ')} {value:.3f}"


class _Glyph(QWidget):
    """An icon in the colour of its own name, whatever the theme."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self.setFixedSize(_GLYPH_PX, _GLYPH_PX)

    def paintEvent(self, _event: QPaintEvent) -> None:
        icons.paint_glyph(QPainter(self), self.rect(), self._name, theme.current().color(self._name))


class Notice(QFrame):
    """A framed sentence or two with an icon."""

    def __init__(self, icon_name: str, name: str) -> None:
        super().__init__()
        self.setProperty("role", "card")
        self.text = label("")
        self.text.setAccessibleName(name)
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        line = QHBoxLayout(self)
        line.setContentsMargins(10, 8, 10, 8)
        line.setSpacing(10)
        line.addWidget(_Glyph(icon_name), 0, Qt.AlignmentFlag.AlignTop)
        line.addWidget(self.text, 1)
        self.hide()

    def show_text(self, text: str) -> None:
        """Show a text; an empty one hides the notice."""
        self.text.setText(text)
        self.setVisible(bool(text))


class SpeedField(QWidget):
    """The speed where it is known, a button that measures it, and how far that is."""

    measure_asked = Signal()
    cancel_asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.value = label("")
        self.value.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.button = key_button(
            "Measure", "speed", "", "Run the network three times on a picture of 500 × 375; nothing is downloaded",
            self.measure_asked.emit,
        )  # fmt: skip
        self.button.setAutoDefault(False)
        self.busy = BusyLine("Measuring the speed", self.cancel_asked.emit)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addWidget(self.value)
        column.addWidget(self.button, 0, Qt.AlignmentFlag.AlignLeft)
        column.addWidget(self.busy)

    def show_speed(self, sentence: str) -> None:
        """Show a figure, or that there is none yet."""
        self.busy.hide()
        set_text(self.value, sentence or "Not measured on this device yet.")
        self.button.setText("Measure again" if sentence else "Measure")
        self.button.show()

    def show_measuring(self, fraction: float | None, words: str) -> None:
        """Show how far the measurement is."""
        set_text(self.value, "")
        self.button.hide()
        self.busy.show_state(fraction, words or "Starting")


class _Page(QWidget):
    """As high as its wrapped words are at its width; a scroll area else keeps room for them at their narrowest."""

    def minimumSizeHint(self) -> QSize:
        layout = self.layout()
        return super().minimumSizeHint() if layout is None else QSize(0, layout.totalHeightForWidth(self.width()))


class ModelDetail(QScrollArea):
    """The right half of the chooser."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title = label("", "heading")
        self.note = label("")
        self.limit = Notice("warning", "What stands in the way")
        self.outcome = Notice("success", "What was imported")
        self.text = label("")
        self.speed = SpeedField()
        self.values = {name: label("") for name in FACTS if name != "Speed"}
        for part in (self.title, self.note, self.text, *self.values.values()):
            part.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._assemble()
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("About the model")

    def _assemble(self) -> None:
        inner = _Page()
        inner.setObjectName("scroll")
        column = QVBoxLayout(inner)
        column.setContentsMargins(8, 4, 12, 8)
        column.setSpacing(12)
        for part in (self.title, self.note, self.outcome, self.limit, self.text):
            column.addWidget(part)
        self.form = QFormLayout()
        self.form.setContentsMargins(0, 4, 0, 0)
        self.form.setHorizontalSpacing(16)
        self.form.setVerticalSpacing(10)
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for name in FACTS:
            heading = label(name, "muted", wrap=False)
            heading.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
            self.form.addRow(heading, self.values.get(name, self.speed))
        column.addLayout(self.form)
        column.addStretch(1)
        self.setWidget(inner)

    def show_info(self, info: CardInfo | None, outcome: str = "") -> None:
        """Show a card, with what an import said about it; None clears everything."""
        said = facts(info) if info is not None else dict.fromkeys(FACTS, "")
        set_text(self.title, (info.card.title or info.card.id) if info is not None else "")
        role = "success" if info is not None and info.knows_classes else "muted"
        set_text(self.note, info.note if info is not None else "", role)
        self.limit.show_text(info.limit if info is not None else "")
        self.outcome.show_text(outcome)
        set_text(self.text, info.card.description if info is not None else "")
        for name, value in self.values.items():
            value.setText(said[name])
            self.form.setRowVisible(value, bool(said[name]))
        self.form.setRowVisible(self.speed, info is not None and info.usable)
