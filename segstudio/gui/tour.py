"""Five steps through the work: a bubble beside the thing it talks about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from PySide6.QtCore import QEvent, QObject, QPoint, QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QKeyEvent, QPainter, QPainterPath, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from segstudio.gui import theme

if TYPE_CHECKING:
    from segstudio.gui.main_window import MainWindow

_WIDTH_PX: Final = 344
_ARROW_PX: Final = 10
_GAP_PX: Final = 6
_FLAT_PX: Final = 60
_DEEP_PX: Final = 140


@dataclass(frozen=True, slots=True)
class Step:
    """One stop: what it points at, and what it says."""

    target: str
    title: str
    text: str


STEPS: Final = (
    Step(
        "proposal",
        "Look at the proposal",
        "The network has coloured the image. Nothing is decided yet: hold H to see the bare image.",
    ),
    Step(
        "tools",
        "Accept and correct",
        "Return accepts the proposal, X drops it. Then paint with the brush (B) and choose classes with 1 to 9. "
        "Ctrl+Z takes anything back.",
    ),
    Step(
        "reviewed",
        "Mark it reviewed",
        "When the image is right, press M. It now teaches the network with every pixel.",
    ),
    Step(
        "training",
        "Let it learn",
        "Press T. The network trains on what you decided while you go on. "
        "The new one is kept only if it scores better.",
    ),
    Step(
        "images",
        "Next image, and export",
        "D goes to the next image, Shift+D to the next unfinished one. Ctrl+E writes the labels for other software.",
    ),
)


class Bubble(QWidget):
    """The rounded box with an arrow towards its target."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._tip = QPointF()
        self._box = QRectF()
        self.layout_ = QVBoxLayout(self)
        self.layout_.setSpacing(8)
        self.title = QLabel(self)
        self.title.setProperty("role", "heading")
        self.text = QLabel(self)
        self.text.setWordWrap(True)
        row = QHBoxLayout()
        row.setSpacing(8)
        self.count = QLabel(self)
        self.count.setProperty("role", "muted")
        self.skip = QPushButton("Skip", self)
        self.skip.setProperty("quiet", True)
        self.back = QPushButton("Back", self)
        self.next = QPushButton("Next", self)
        self.next.setProperty("primary", True)
        for button, tip in (
            (self.skip, "Leave the tour (Esc)"),
            (self.back, "The step before (Left)"),
            (self.next, "Go on (Right or Return)"),
        ):
            button.setToolTip(tip)
        row.addWidget(self.count)
        row.addStretch(1)
        for button in (self.skip, self.back, self.next):
            row.addWidget(button)
        self.layout_.addWidget(self.title)
        self.layout_.addWidget(self.text)
        self.layout_.addSpacing(4)
        self.layout_.addLayout(row)

    def place(self, target: QRect, bounds: QRect) -> None:
        """Lie beside `target`, wherever there is most room, inside `bounds` (both in the parent's pixels)."""
        margin = 16 + _ARROW_PX
        self.layout_.setContentsMargins(margin, margin, margin, margin)
        width = _WIDTH_PX + 2 * _ARROW_PX
        height = self.layout_.heightForWidth(width)
        rooms = {
            "right": bounds.right() - target.right() - width,
            "left": target.left() - bounds.left() - width,
            "below": bounds.bottom() - target.bottom() - height,
            "above": target.top() - bounds.top() - height,
        }
        order = sorted(rooms, key=lambda name: name not in ("below", "above")) if target.height() < _FLAT_PX else rooms
        fitting = [side for side in order if rooms[side] >= _GAP_PX]
        side = fitting[0] if fitting else max(rooms, key=lambda name: rooms[name])
        # What matters in a tall target is at its top.
        middle = QPoint(target.center().x(), min(target.center().y(), target.top() + _DEEP_PX))
        spots = {
            "right": QPoint(target.right() + _GAP_PX, middle.y() - height // 2),
            "left": QPoint(target.left() - _GAP_PX - width, middle.y() - height // 2),
            "below": QPoint(middle.x() - width // 2, target.bottom() + _GAP_PX),
            "above": QPoint(middle.x() - width // 2, target.top() - _GAP_PX - height),
        }
        spot = spots[side]
        x = min(max(spot.x(), bounds.left() + 8), bounds.right() - width - 8)
        y = min(max(spot.y(), bounds.top() + 8), bounds.bottom() - height - 8)
        self.setGeometry(x, y, width, height)
        self._box = QRectF(self.rect()).adjusted(_ARROW_PX, _ARROW_PX, -_ARROW_PX, -_ARROW_PX)
        tips = {
            "right": QPointF(0, middle.y() - y),
            "left": QPointF(width, middle.y() - y),
            "below": QPointF(middle.x() - x, 0),
            "above": QPointF(middle.x() - x, height),
        }
        self._tip = tips[side]
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        look = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        path = QPainterPath()
        path.addRoundedRect(self._box, 8, 8)
        painter.setPen(QPen(look.color("accent_ink"), 1.5))
        painter.setBrush(look.color("raised"))
        painter.drawPath(path.united(self._arrow()))
        painter.end()

    def _arrow(self) -> QPainterPath:
        box, tip = self._box, self._tip
        inset = 18.0
        x = min(max(tip.x(), box.left() + inset), box.right() - inset)
        y = min(max(tip.y(), box.top() + inset), box.bottom() - inset)
        path = QPainterPath(tip)
        if tip.x() <= box.left() or tip.x() >= box.right():
            edge = box.left() + 1 if tip.x() <= box.left() else box.right() - 1
            path = QPainterPath(QPointF(tip.x(), y))
            path.lineTo(edge, y - _ARROW_PX)
            path.lineTo(edge, y + _ARROW_PX)
        else:
            edge = box.top() + 1 if tip.y() <= box.top() else box.bottom() - 1
            path = QPainterPath(QPointF(x, tip.y()))
            path.lineTo(x - _ARROW_PX, edge)
            path.lineTo(x + _ARROW_PX, edge)
        path.closeSubpath()
        return path


class Tour(QObject):
    """Walks through STEPS; Right or Return goes on, Left goes back, Esc leaves."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self._index = 0
        self.bubble = Bubble(window)
        self.bubble.installEventFilter(self)
        self.bubble.next.clicked.connect(self.forward)
        self.bubble.back.clicked.connect(self.backward)
        self.bubble.skip.clicked.connect(self.stop)
        self.bubble.hide()

    @property
    def step(self) -> Step:
        """The stop shown."""
        return STEPS[self._index]

    @property
    def running(self) -> bool:
        """True while the bubble shows."""
        return not self.bubble.isHidden()

    def start(self) -> None:
        """Show the first stop."""
        self._window.installEventFilter(self)
        self._show(0)

    def stop(self) -> None:
        """Leave."""
        self._window.removeEventFilter(self)
        self.bubble.hide()
        self._window.workbench.canvas.setFocus()

    def forward(self) -> None:
        """The next stop; leaves after the last."""
        if self._index + 1 < len(STEPS):
            self._show(self._index + 1)
        else:
            self.stop()

    def backward(self) -> None:
        """The stop before."""
        self._show(max(0, self._index - 1))

    def _show(self, index: int) -> None:
        self._index = index
        bubble = self.bubble
        bubble.title.setText(self.step.title)
        bubble.text.setText(self.step.text)
        bubble.count.setText(f"{index + 1} of {len(STEPS)}")
        bubble.back.setVisible(index > 0)
        bubble.skip.setVisible(index + 1 < len(STEPS))
        bubble.next.setText("Next" if index + 1 < len(STEPS) else "Start labelling")
        bubble.setAccessibleName(f"Tour, step {index + 1}: {self.step.title}. {self.step.text}")
        self._place()
        bubble.show()
        bubble.raise_()
        bubble.setFocus()

    def _place(self) -> None:
        target = self._target()
        bounds = self._window.rect()
        corner = target.mapTo(self._window, QPoint(0, 0))
        self.bubble.place(QRect(corner, target.size()).intersected(bounds), bounds)

    def _target(self) -> QWidget:
        bench = self._window.workbench
        if self.step.target in ("proposal", "training"):
            return bench.side.show_section(self.step.target)
        return {"tools": bench.tool_bar, "reviewed": bench.view_bar.reviewed, "images": bench.images}[self.step.target]

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self._window and event.type() == QEvent.Type.Resize and self.running:
            self._place()
        if watched is self.bubble and isinstance(event, QKeyEvent):
            return self._key(event)
        return False

    def _key(self, event: QKeyEvent) -> bool:
        keys = {
            Qt.Key.Key_Right: self.forward,
            Qt.Key.Key_Return: self.forward,
            Qt.Key.Key_Enter: self.forward,
            Qt.Key.Key_Space: self.forward,
            Qt.Key.Key_Left: self.backward,
            Qt.Key.Key_Escape: self.stop,
        }
        wanted = keys.get(Qt.Key(event.key()))
        if wanted is None:
            return False
        event.accept()
        if event.type() == QEvent.Type.KeyPress:
            wanted()
        return True
