"""The options of an export as rows of a form; those a format has no use for are hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from segstudio.core.errors import UserError
from segstudio.gui.panels.common import label
from segstudio.gui.panels.model import compact_combo
from segstudio.services.exporting import Choice, ExportOptions, ImageFiles, SeededSplit, Shapes, Undecided

if TYPE_CHECKING:
    from segstudio.formats.registry import Format

Spin = TypeVar("Spin", QSpinBox, QDoubleSpinBox)
_IMAGES: Final = {
    ImageFiles.COPY: "Copies",
    ImageFiles.LINK: "Hard links, which need no space",
    ImageFiles.REFERENCE: "Only their paths",
}
_SPIN_MARGIN_PX: Final = 6
_SHAPES: Final = {Shapes.MASKS: "Exact, every pixel", Shapes.POLYGONS: "Polygons, which can be edited"}
_OUTLINES: Final = "Exact outlines"  # where a format has no masks
_UNDECIDED: Final = {
    Undecided.VOID: "Void: nothing is claimed about them",
    Undecided.BACKGROUND: "Background",
}
_PROJECT_LISTS, _NEW_LISTS = range(2)
_WHOLE: Final = 100
_MOST_SEEDS: Final = 9999
_MOST_PX: Final = 100
_SEED_PX: Final = 104  # the row has to fit beside a scroll bar


class ExportOptionRows(QObject):
    """Widgets for `ExportOptions`; `changed` follows whatever the person changes."""

    changed = Signal()

    def __init__(self, form: QFormLayout, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._form = form
        self.shapes = self._combo("Shapes", "How regions are written", _SHAPES)
        self.tolerance = self._spin(QDoubleSpinBox(), "Tolerance", "How far a polygon may stray from the true edge")
        self.tolerance.setDecimals(1)
        self.tolerance.setSingleStep(0.5)
        self.images = self._combo("Images", "What becomes of the image files", _IMAGES)
        self.undecided = self._combo("Undecided pixels", "What pixels that nobody decided are written as", _UNDECIDED)
        self.border = self._spin(QSpinBox(), "Border", "Void pixels on each side of an edge between two regions")
        self.border.setSpecialValueText("None")
        for spin in (self.tolerance, self.border):
            spin.setRange(0, _MOST_PX)
            spin.setSuffix(" px")
        self.lists = compact_combo("Lists", "Which images go into the lists for training, validation and test")
        self.lists.addItem("The project's own")
        self.lists.addItem("New ones, drawn at random")
        self._make_split()
        self.zip = QCheckBox("One zip file instead of a folder")
        self._place()
        self.set_value(ExportOptions())
        self._connect()

    def show_for(self, chosen: Format, *, more: bool) -> None:
        """Show the options with a meaning for a format; the rarer ones only with `more`."""
        polygons = self.shapes.currentData() == Shapes.POLYGONS
        shown = {
            self._shapes_row: Choice.SHAPES in chosen.choices,
            self.images: more and Choice.IMAGES in chosen.choices,
            self.border: more and Choice.BORDER in chosen.choices,
            self.undecided: more,
            self._lists_row: more,
            self.zip: more,
        }
        for widget, visible in shown.items():
            self._form.setRowVisible(widget, visible)
        exact = Shapes.MASKS in chosen.exact
        self.shapes.setItemText(self.shapes.findData(Shapes.MASKS), _SHAPES[Shapes.MASKS] if exact else _OUTLINES)
        self._tolerance_row.setVisible(polygons)
        self._split_row.setVisible(self.lists.currentIndex() == _NEW_LISTS)
        self._rest.setText(f"Test {self._test} %")

    def value(self, chosen: Format, *, replace: bool = False) -> ExportOptions:
        """The options as chosen, the defaults where a format has no such choice."""
        plain = ExportOptions()
        return ExportOptions(
            images=ImageFiles(self.images.currentData()) if Choice.IMAGES in chosen.choices else plain.images,
            undecided=Undecided(self.undecided.currentData()),
            shapes=Shapes(self.shapes.currentData()) if Choice.SHAPES in chosen.choices else plain.shapes,
            tolerance=self.tolerance.value(),
            border=self.border.value() if Choice.BORDER in chosen.choices else plain.border,
            split=self._split(),
            zip=self.zip.isChecked(),
            replace=replace,
        )

    def set_value(self, options: ExportOptions) -> None:
        """Show options."""
        self.images.setCurrentIndex(self.images.findData(options.images))
        self.undecided.setCurrentIndex(self.undecided.findData(options.undecided))
        self.shapes.setCurrentIndex(self.shapes.findData(options.shapes))
        self.tolerance.setValue(options.tolerance)
        self.border.setValue(options.border)
        split = options.split or SeededSplit()
        self.lists.setCurrentIndex(_PROJECT_LISTS if options.split is None else _NEW_LISTS)
        self.train.setValue(round(_WHOLE * split.train))
        self.validation.setValue(round(_WHOLE * split.validation))
        self.seed.setValue(split.seed)
        self.zip.setChecked(options.zip)

    def unusual(self, chosen: Format) -> str:
        """Which of the rarer options differ from the defaults, in a few words, so that none works unseen."""
        options, plain = self.value(chosen), ExportOptions()
        said = {
            _IMAGES[options.images].split(",")[0].lower(): options.images is not plain.images,
            "undecided as background": options.undecided is not plain.undecided,
            f"border {options.border} px": options.border != plain.border,
            "new lists": options.split is not None,
            "zip": options.zip,
        }
        return ", ".join(words for words, differs in said.items() if differs)

    @property
    def _test(self) -> int:
        return _WHOLE - self.train.value() - self.validation.value()

    def _split(self) -> SeededSplit | None:
        if self.lists.currentIndex() == _PROJECT_LISTS:
            return None
        parts = (self.train.value(), self.validation.value(), self._test)
        train, validation, test = (part / _WHOLE for part in parts)
        return SeededSplit(train=train, validation=validation, test=test, seed=self.seed.value())

    def _combo(self, name: str, tip: str, words: dict[Any, str]) -> QComboBox:
        combo = compact_combo(name, tip)
        for value, text in words.items():
            combo.addItem(text, value)
        return combo

    def _spin(self, spin: Spin, name: str, tip: str) -> Spin:
        spin.setAccessibleName(name)
        spin.setToolTip(tip)
        spin.setKeyboardTracking(False)
        spin.lineEdit().setTextMargins(_SPIN_MARGIN_PX, 0, 0, 0)  # the style's padding is for the frame around it
        return spin

    def _make_split(self) -> None:
        self.train = self._spin(QSpinBox(), "Train", "Part of the images to train on")
        self.validation = self._spin(QSpinBox(), "Validation", "Part of the images to validate on")
        self.seed = self._spin(QSpinBox(), "Seed", "The same seed and images give the same lists")
        for spin, prefix in ((self.train, "Train "), (self.validation, "Val. ")):
            spin.setRange(0, _WHOLE)
            spin.setPrefix(prefix)
            spin.setSuffix(" %")
        self.seed.setRange(0, _MOST_SEEDS)
        self.seed.setPrefix("Seed ")
        self.seed.setMinimumWidth(_SEED_PX)
        self._rest = label("", "muted", wrap=False)

    def _place(self) -> None:
        self._tolerance_row = _line(label("Within", "muted", wrap=False), self.tolerance)
        self._split_row = _line(self.train, self.validation, self._rest, self.seed)
        self._shapes_row = _line(self.shapes, self._tolerance_row)
        self._lists_row = QWidget()
        column = QVBoxLayout(self._lists_row)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.lists)
        column.addWidget(self._split_row)
        self._form.addRow("Shapes", self._shapes_row)

    def add_rarer(self) -> None:
        """Append the rows of the rarer options to the form."""
        for title, widget in (
            ("Images", self.images),
            ("Undecided pixels", self.undecided),
            ("Border", self.border),
            ("Lists", self._lists_row),
            ("", self.zip),
        ):
            self._form.addRow(title, widget)

    def _connect(self) -> None:
        for combo in (self.shapes, self.images, self.undecided, self.lists):
            combo.currentIndexChanged.connect(lambda _index: self.changed.emit())
        for spin in (self.train, self.validation, self.seed, self.border, self.tolerance):
            spin.valueChanged.connect(lambda _value: self.changed.emit())
        self.train.valueChanged.connect(lambda value: self.validation.setMaximum(_WHOLE - value))
        self.zip.toggled.connect(lambda _on: self.changed.emit())


def stored_options(options: ExportOptions) -> dict[str, Any]:
    """Options as settings keep them; what belongs to one target only is left out."""
    return {**options.to_json(), "zip": options.zip}


def read_options(stored: Any) -> ExportOptions:
    """The options that `stored_options` gave; the defaults where they make no sense (any more)."""
    if not isinstance(stored, dict):
        return ExportOptions()
    try:
        parts = stored.get("split")
        split = None
        if isinstance(parts, list) and len(parts) == len(("train", "validation", "test", "seed")):
            train, validation, test, seed = parts
            split = SeededSplit(train=train, validation=validation, test=test, seed=seed)
        return ExportOptions.of(**{**stored, "split": split})
    except (UserError, TypeError):
        return ExportOptions()


def _line(*widgets: QWidget) -> QWidget:
    box = QWidget()
    line = QHBoxLayout(box)
    line.setContentsMargins(0, 0, 0, 0)
    line.setSpacing(6)
    for widget in widgets:
        line.addWidget(widget)
    return box
