"""A list of images with small pictures that arrive in the background."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QRect, QSize, Qt, Signal
from PySide6.QtGui import QImage, QPainter, QPixmap
from PySide6.QtWidgets import QListWidget, QListWidgetItem, QStyle, QStyledItemDelegate, QStyleOptionViewItem

from segstudio.core.errors import UserError
from segstudio.gui import icons, theme
from segstudio.gui.canvas.marked import MARK_RGB
from segstudio.services.mistake_pictures import marked_thumbnail

if TYPE_CHECKING:
    from segstudio.core.jobs import CancelToken
    from segstudio.services.tasks import TaskRunner

THUMBNAIL_PX: Final = 64
_ROW_PX: Final = 76
_MARGIN_PX: Final = 8
_GLYPH_PX: Final = 24
_ENTRY_ROLE: Final = Qt.ItemDataRole.UserRole + 1
_PICTURE_ROLE: Final = Qt.ItemDataRole.UserRole + 2

LoadMarks = Callable[[], "npt.NDArray[np.bool_] | None"]


@dataclass(frozen=True, slots=True)
class Entry:
    """An image of the list.

    Attributes:
        image_id: Of the project.
        name: What to call it.
        path: Its file.
        words: The second line.
        marks: Gives the pixels to mark in the small picture, on any thread; None marks nothing.
    """

    image_id: int
    name: str
    path: Path
    words: str
    marks: LoadMarks | None = None


class _Delegate(QStyledItemDelegate):
    """Paints the picture, the name and the words."""

    def sizeHint(self, _option: QStyleOptionViewItem, _index: Any) -> QSize:
        return QSize(180, _ROW_PX)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Any) -> None:
        entry: Entry = index.data(_ENTRY_ROLE)
        look, rect, state = theme.current(), QRect(option.rect), option.state
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        selected = bool(state & QStyle.StateFlag.State_Selected)
        if selected or state & QStyle.StateFlag.State_MouseOver:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(look.color("accent_soft" if selected else "hover"))
            painter.drawRoundedRect(rect.adjusted(2, 1, -2, -1), theme.RADIUS_PX, theme.RADIUS_PX)
        frame = QRect(rect.left() + _MARGIN_PX, rect.center().y() - THUMBNAIL_PX // 2 + 1, THUMBNAIL_PX, THUMBNAIL_PX)
        self._paint_picture(painter, frame, index.data(_PICTURE_ROLE))
        text = QRect(frame.right() + 12, rect.top(), rect.right() - frame.right() - 12 - _MARGIN_PX, rect.height())
        middle, line = text.center().y(), painter.fontMetrics().height()
        ink = look.color("on_accent_soft" if selected else "text")
        for part, color, top in ((entry.name, ink, middle - line), (entry.words, look.color("text_muted"), middle + 3)):
            painter.setPen(ink if selected else color)
            room = painter.fontMetrics().elidedText(part, Qt.TextElideMode.ElideMiddle, text.width())
            painter.drawText(QRect(text.left(), top, text.width(), line), Qt.AlignmentFlag.AlignLeft, room)
        painter.restore()

    @staticmethod
    def _paint_picture(painter: QPainter, frame: QRect, picture: QPixmap | str | None) -> None:
        look = theme.current()
        if isinstance(picture, QPixmap):
            place = QRect(frame.topLeft(), picture.size())
            place.moveCenter(frame.center())
            painter.drawPixmap(place, picture)
            return
        painter.fillRect(frame, look.color("hover"))
        if isinstance(picture, str):
            box = QRect(0, 0, _GLYPH_PX, _GLYPH_PX)
            box.moveCenter(frame.center())
            icons.paint_glyph(painter, box, "image_problem", look.color("text_muted"))


class ImageList(QListWidget):
    """Shows entries; a click or Enter tells the image by `opened`. Pictures are read one after the other."""

    opened = Signal(int)

    def __init__(self, tasks: TaskRunner, report: Callable[[BaseException], None], name: str) -> None:
        super().__init__()
        self._tasks, self._report = tasks, report
        self._reading: CancelToken | None = None
        self._waiting: list[int] = []
        self.setAccessibleName(name)
        self.setItemDelegate(_Delegate(self))
        self.setMouseTracking(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QListWidget.ScrollMode.ScrollPerPixel)
        self.itemClicked.connect(self._open)
        self.itemActivated.connect(self._open)

    def show_entries(self, entries: Sequence[Entry]) -> None:
        """List other images; pictures still being read for those before are dropped."""
        self.stop()
        self.clear()
        for entry in entries:
            item = QListWidgetItem(entry.name)
            item.setData(_ENTRY_ROLE, entry)
            item.setData(Qt.ItemDataRole.AccessibleTextRole, f"{entry.name}, {entry.words}")
            item.setToolTip(f"{entry.name}\n{entry.words}\nClick to open it")
            self.addItem(item)
        self._waiting = list(range(len(entries)))
        self._read_next()

    def stop(self) -> None:
        """Read no more pictures."""
        self._waiting = []
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    @property
    def entries(self) -> list[Entry]:
        """What is listed."""
        return [self.item(row).data(_ENTRY_ROLE) for row in range(self.count())]

    def picture(self, row: int) -> QPixmap | str | None:
        """The small picture of a row, the sentence why there is none, or None while it is read."""
        found: QPixmap | str | None = self.item(row).data(_PICTURE_ROLE)
        return found

    def _open(self, item: QListWidgetItem) -> None:
        self.opened.emit(item.data(_ENTRY_ROLE).image_id)

    def _read_next(self) -> None:
        if not self._waiting:
            self._reading = None
            return
        row = self._waiting.pop(0)
        entry: Entry = self.item(row).data(_ENTRY_ROLE)
        ratio = self.devicePixelRatioF()
        work = partial(_small, entry, round(THUMBNAIL_PX * ratio))
        self._reading = self._tasks.run(
            lambda _token: work(), partial(self._arrived, row, ratio), partial(self._failed, row)
        )

    def _arrived(self, row: int, ratio: float, rgb: npt.NDArray[np.uint8]) -> None:
        height, width = rgb.shape[:2]
        pixels = np.ascontiguousarray(rgb)
        picture = QPixmap.fromImage(QImage(pixels.data, width, height, 3 * width, QImage.Format.Format_RGB888))
        picture.setDevicePixelRatio(ratio)
        self.item(row).setData(_PICTURE_ROLE, picture)
        self._read_next()

    def _failed(self, row: int, error: BaseException) -> None:
        self.item(row).setData(_PICTURE_ROLE, str(error))
        if isinstance(error, UserError):
            self.item(row).setToolTip(str(error))
        else:
            self._report(error)
        self._read_next()


def _small(entry: Entry, side: int) -> npt.NDArray[np.uint8]:
    marks = entry.marks() if entry.marks is not None else None
    return marked_thumbnail(entry.path, marks, side=side, color=MARK_RGB)
