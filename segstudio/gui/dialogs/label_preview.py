"""A few images of the project with the labels of a source over them, in the colours they would get."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QEvent, QPoint, QRect, QSize, Qt
from PySide6.QtGui import QHelpEvent, QImage, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QToolButton, QToolTip, QVBoxLayout, QWidget

from segstudio.core.catalog import IGNORE
from segstudio.core.errors import UserError
from segstudio.gui import icons, theme
from segstudio.gui.canvas.overlay import argb_image
from segstudio.gui.panels.common import ElidedLabel, label
from segstudio.services.previewing import sample_picture

if TYPE_CHECKING:
    from collections.abc import Callable

    from segstudio.services.mapping import ClassMapping
    from segstudio.services.previewing import SampleLabel
    from segstudio.services.tasks import TaskRunner
    from segstudio.services.workspace import Workspace

_FILL: Final = 0.6
_BACKGROUND_FILL: Final = 0.25
_STRIPE_PX: Final = 8
_IGNORED_STRIPE: Final = (225, 225, 225)
_OPEN_STRIPE: Final = (242, 184, 75)
_GAP_ARGB: Final = np.uint32(0x70000000)  # dark between bright stripes, which read on bright and dark images alike


class _Picture(QWidget):
    """The image and its labels, as large as fits."""

    def __init__(self) -> None:
        super().__init__()
        self.sample: SampleLabel | None = None
        self.mapping: ClassMapping | None = None
        self.rgb: npt.NDArray[np.uint8] | None = None
        self.words = ""
        self._drawn: QImage | None = None
        self.setMinimumSize(200, 150)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName("Preview of the labels")

    def sizeHint(self) -> QSize:
        return QSize(300, 260)

    def redraw(self) -> None:
        """Draw again, since image or mapping is another."""
        self._drawn = None
        self.update()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.redraw()

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        look = theme.current()
        painter.fillRect(self.rect(), look.color("canvas"))
        if self.rgb is None or self.sample is None or self.mapping is None:
            painter.setPen(look.color("text_muted"))
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, self.words)
            return
        place = self._place()
        if self._drawn is None:
            ratio = self.devicePixelRatioF()
            size = max(1, round(place.width() * ratio)), max(1, round(place.height() * ratio))
            self._drawn = composed(self.rgb, self.sample, self.mapping, size)
        painter.drawImage(place, self._drawn)

    def event(self, event: QEvent) -> bool:
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            QToolTip.showText(event.globalPos(), self._said(event.pos()), self)
            return True
        return super().event(event)

    def _place(self) -> QRect:
        assert self.rgb is not None
        height, width = self.rgb.shape[:2]
        size = QSize(width, height).scaled(self.size(), Qt.AspectRatioMode.KeepAspectRatio)
        place = QRect(QPoint(0, 0), size)
        place.moveCenter(self.rect().center())
        return place

    def _said(self, position: QPoint) -> str:
        """What the source says at a place, and what that becomes."""
        if self.rgb is None or self.sample is None or self.mapping is None:
            return ""
        place = self._place()
        if not place.contains(position):
            return ""
        height, width = self.sample.ids.shape
        y = (position.y() - place.top()) * height // place.height()
        x = (position.x() - place.left()) * width // place.width()
        code = int(self.sample.ids[y, x])
        if code == IGNORE:
            return "No class"
        number = self.sample.numbers[code]
        names = {c.number: c.title for c in self.mapping.preview.classes}
        found = self.mapping.label_class(number)
        becomes = (
            found.name if found is not None else "not decided" if self.mapping.target(number) is None else "ignore"
        )
        return f"{names.get(number, number)} → {becomes}"


class LabelPreview(QWidget):
    """Shows one sample at a time; images are read in the background when they are first shown."""

    def __init__(self, workspace: Workspace, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tasks: TaskRunner = workspace.tasks
        self._report: Callable[[BaseException], None] = workspace.report
        self._samples: tuple[SampleLabel, ...] = ()
        self._pictures: dict[int, npt.NDArray[np.uint8] | str] = {}
        self._index = 0
        self.picture = _Picture()
        self.name = ElidedLabel()
        self.count = label("", "muted", wrap=False)
        self.previous = self._button("previous", "Previous sample", -1)
        self.next = self._button("next", "Next sample", 1)
        line = QHBoxLayout()
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(4)
        line.addWidget(self.name, 1)
        for widget in (self.count, self.previous, self.next):
            line.addWidget(widget)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 0, 0, 0)  # away from the table beside it
        column.setSpacing(6)
        column.addWidget(self.picture, 1)
        column.addLayout(line)

    def show_mapping(self, mapping: ClassMapping | None) -> None:
        """Show the samples of another mapping, or none."""
        self._samples = mapping.preview.samples if mapping is not None else ()
        self._pictures = {}
        self.picture.mapping = mapping
        self._show(0)

    def refresh(self) -> None:
        """Colour again by what the mapping says now; nothing is read again."""
        self.picture.redraw()

    @property
    def index(self) -> int:
        """Which sample is shown, from 0."""
        return self._index

    def _button(self, icon: str, name: str, step: int) -> QToolButton:
        button = QToolButton()
        button.setIcon(icons.icon(icon))
        button.setToolTip(name)
        button.setAccessibleName(name)
        button.clicked.connect(lambda _checked=False: self._show(self._index + step))
        return button

    def _show(self, index: int) -> None:
        count = len(self._samples)
        self._index = index = min(max(index, 0), max(count - 1, 0))
        self.previous.setEnabled(index > 0)
        self.next.setEnabled(index < count - 1)
        sample = self._samples[index] if self._samples else None
        self.name.set_full_text(sample.image.name if sample is not None else "")
        self.count.setText(f"{index + 1} of {count}" if sample is not None else "")
        self.picture.sample = sample
        found = self._pictures.get(index)
        self.picture.rgb = found if isinstance(found, np.ndarray) else None
        self.picture.words = found if isinstance(found, str) else "Reading…" if sample is not None else "No sample"
        self.picture.redraw()
        if sample is not None and found is None:
            self._read(index, sample)

    def _read(self, index: int, sample: SampleLabel) -> None:
        def arrived(found: npt.NDArray[np.uint8] | str) -> None:
            # Another source may have been chosen, or the dialog closed, while the image was read.
            if index < len(self._samples) and self._samples[index] is sample:
                self._pictures[index] = found
                if index == self._index:
                    self._show(index)

        def failed(error: BaseException) -> None:
            if isinstance(error, UserError):
                arrived(str(error))
            else:
                self._report(error)

        self._tasks.run(lambda _token: sample_picture(sample), arrived, failed)


def composed(rgb: npt.NDArray[np.uint8], sample: SampleLabel, mapping: ClassMapping, size: tuple[int, int]) -> QImage:
    """The image with its labels over it, `size` (width, height) pixels.

    Classes have the colours of the project; ignored pixels are striped grey, undecided ones amber, and
    pixels the source says nothing about are bare.
    """
    width, height = size
    picture = QImage(rgb.data, rgb.shape[1], rgb.shape[0], 3 * rgb.shape[1], QImage.Format.Format_RGB888)
    smooth = Qt.TransformationMode.SmoothTransformation
    drawn = picture.scaled(width, height, Qt.AspectRatioMode.IgnoreAspectRatio, smooth)
    # Nearest neighbours: a blend of two labels would be a third one.
    codes = sample.ids[_steps(sample.ids.shape[0], height)][:, _steps(sample.ids.shape[1], width)]
    table, striped = _tables(sample, mapping)
    y, x = np.ogrid[:height, :width]
    gap = (x + y) % _STRIPE_PX >= _STRIPE_PX // 2
    fill = argb_image(np.where(striped[codes] & gap, _GAP_ARGB, table[codes]))
    if fill is not None:
        painter = QPainter(drawn)
        painter.drawImage(0, 0, fill)
        painter.end()
    return drawn


def _tables(sample: SampleLabel, mapping: ClassMapping) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.bool_]]:
    """(256,) uint32 premultiplied ARGB of each code of a sample, and (256,) bool: whether it is striped."""
    table = np.zeros(256, dtype=np.uint32)
    striped = np.zeros(256, dtype=np.bool_)
    for code, number in enumerate(sample.numbers):
        found = mapping.label_class(number)
        if found is not None:
            background = found.id == mapping.catalog.background_id
            table[code] = _premultiplied(found.color, _BACKGROUND_FILL if background else _FILL)
            continue
        striped[code] = True
        undecided = mapping.target(number) is None
        color = _OPEN_STRIPE if undecided else _IGNORED_STRIPE
        table[code] = _premultiplied(color, 1.0 if undecided else _FILL)
    return table, striped


def _premultiplied(color: tuple[int, int, int], alpha: float) -> int:
    red, green, blue = (round(value * alpha) for value in color)
    return round(255 * alpha) << 24 | red << 16 | green << 8 | blue


def _steps(length: int, count: int) -> npt.NDArray[np.intp]:
    """`count` positions spread evenly over 0 .. length - 1."""
    return np.asarray((np.arange(count) * length) // count, dtype=np.intp)
