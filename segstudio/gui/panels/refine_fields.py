"""The numbers of the dense CRF as a grid of fields, and whether somebody is at those that reach across the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtWidgets import QDoubleSpinBox, QGridLayout, QSizePolicy, QSpinBox, QWidget

from segstudio.gui.panels.common import label

_SPIN_PX: Final = 96
_DECIMALS: Final = 2
_ARRIVES: Final = frozenset({QEvent.Type.Enter, QEvent.Type.FocusIn})
_LEAVES: Final = frozenset({QEvent.Type.Leave, QEvent.Type.FocusOut, QEvent.Type.Hide})
_BY_FOCUS: Final = frozenset({QEvent.Type.FocusIn, QEvent.Type.FocusOut})


@dataclass(frozen=True, slots=True)
class Field:
    """One parameter: its name in the parameters, its words, its range and step, and what it does.

    `reach` marks the widths of the kernels, which the canvas can draw.
    """

    name: str
    title: str
    low: float
    high: float
    step: float
    unit: str
    tip: str
    reach: bool = False


FIELDS: Final = (
    Field("bilateral_weight", "Colour weight", 0, 100, 0.5, "",
          "How strongly pixels of similar colour are pulled to the same class. 0 switches this off."),
    Field("bilateral_xy", "Colour reach", 0.5, 1000, 1, " px",
          "How far apart two pixels of similar colour may be and still influence each other. "
          "The large circle on the image shows it.", reach=True),
    Field("bilateral_rgb", "Colour tolerance", 0.5, 255, 0.5, "",
          "How different two colours (0-255) may be and still count as similar. Small keeps closer to edges. "
          "The tint on the image shows what counts as similar to the pixel under the pointer.", reach=True),
    Field("spatial_weight", "Smoothing weight", 0, 100, 0.5, "",
          "How strongly neighbours are pulled to the same class whatever their colour. Removes specks; 0 is off."),
    Field("spatial_xy", "Smoothing reach", 0.5, 200, 0.5, " px",
          "How far the smoothing reaches; the small circle on the image shows it. Large values round off thin parts.",
          reach=True),
    Field("temperature", "Temperature", 0.05, 20, 0.1, "",
          "Trust in the network: above 1 the network counts for less and the image for more, below 1 the other way."),
    Field("iterations", "Iterations", 1, 50, 1, "",
          "Rounds of mean-field updates. 5 to 10 is usually enough; time grows with it."),
)  # fmt: skip


class _Number(QDoubleSpinBox):
    """A number that leaves out the decimals it does not need."""

    def textFromValue(self, value: float) -> str:
        text, point = super().textFromValue(value), self.locale().decimalPoint()
        return text.rstrip("0").removesuffix(point) if point in text else text


class NumberGrid(QWidget):
    """A field for each parameter, with its name beside it.

    `edited` follows a change by a person; `reach_asked` says whether the pointer or the focus is at a width.
    """

    edited = Signal()
    reach_asked = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.fields: dict[str, QSpinBox | QDoubleSpinBox] = {}
        self._at: set[tuple[int, bool]] = set()
        self.grid = QGridLayout(self)
        self.grid.setContentsMargins(0, 0, 0, 0)
        self.grid.setHorizontalSpacing(8)
        self.grid.setVerticalSpacing(6)
        self.grid.setColumnStretch(0, 1)
        self.grid.setColumnMinimumWidth(1, _SPIN_PX)
        for row, field in enumerate(FIELDS):
            self._add(row, field)

    def edits(self, params: Any) -> dict[str, float | int]:
        """The numbers that differ from those of parameters, by name; what a field rounds for show does not."""
        values = {name: spin.value() for name, spin in self.fields.items()}
        return {name: value for name, value in values.items() if value != round(getattr(params, name), _DECIMALS)}

    def show_values(self, params: Any) -> None:
        """Show the numbers of parameters (of the service's own type)."""
        for name, spin in self.fields.items():
            blocked = spin.blockSignals(True)
            spin.setValue(getattr(params, name))
            spin.blockSignals(blocked)

    def _add(self, row: int, field: Field) -> None:
        title, spin = label(field.title, wrap=False), _spin(field)
        title.setBuddy(spin)
        title.setToolTip(field.tip)
        spin.valueChanged.connect(lambda _value: self.edited.emit())
        self.fields[field.name] = spin
        self.grid.addWidget(title, row, 0)
        self.grid.addWidget(spin, row, 1)
        if field.reach:
            title.installEventFilter(self)
            spin.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        kind = event.type()
        if kind in _ARRIVES or kind in _LEAVES:
            before = bool(self._at)
            place = (id(watched), kind in _BY_FOCUS)
            if kind in _ARRIVES:
                self._at.add(place)
            else:
                self._at.discard(place)
            if bool(self._at) != before:
                self.reach_asked.emit(bool(self._at))
        return False


def _spin(field: Field) -> QSpinBox | QDoubleSpinBox:
    spin: QSpinBox | QDoubleSpinBox
    if field.name == "iterations":
        spin = QSpinBox()
        spin.setRange(int(field.low), int(field.high))
    else:
        spin = _Number()
        spin.setDecimals(_DECIMALS)
        spin.setRange(field.low, field.high)
        spin.setSingleStep(field.step)
    spin.setSuffix(field.unit)
    spin.setAccessibleName(field.title)
    spin.setAccessibleDescription(field.tip)
    spin.setToolTip(f"{field.title}\n{field.tip}")
    spin.setKeyboardTracking(False)
    spin.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    spin.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    return spin
