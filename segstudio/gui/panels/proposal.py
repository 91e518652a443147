"""The proposal panel: how sure the network is, and what of its proposal to take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QColor, QIcon, QPainter, QPainterPath, QPaintEvent, QPalette, QPixmap
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QSizePolicy,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from segstudio.core.catalog import Catalog
from segstudio.core.events import Change
from segstudio.core.prediction import NO_OPINION, Prediction
from segstudio.gui.panels.common import (
    EmptyState,
    Panel,
    count_text,
    key_button,
    label,
    percent,
    row,
    set_text,
)

KEY_ACCEPT_ALL: Final = "Return"
KEY_ACCEPT_CLASS: Final = "Shift+Return"
KEY_ACCEPT_BRUSH: Final = "V"
KEY_REJECT: Final = "X"
UNSURE: Final = 0.5
SURE: Final = 0.8
_RECOUNT_DELAY_MS: Final = 150
_CLASS_ID_ROLE: Final = Qt.ItemDataRole.UserRole
_MAX_VISIBLE_ROWS: Final = 8
_SWATCH_PX: Final = 12


@dataclass(frozen=True, slots=True)
class ClassShare:
    """One class of a proposal: its undecided pixels and their mean confidence 0..1."""

    class_id: int
    pixels: int
    confidence: float


@dataclass(frozen=True, slots=True)
class ProposalSummary:
    """What a proposal says about the pixels still undecided.

    Attributes:
        pixels: Pixels it has an opinion on.
        open_pixels: Those of them that are undecided.
        confidence: Mean confidence of the open pixels, 0..1 (0 where none is open).
        bands: Shares of open pixels that are unsure (below 0.5), in between, and sure (0.8 or more).
        classes: Classes proposed for open pixels, most pixels first.
    """

    pixels: int
    open_pixels: int
    confidence: float
    bands: tuple[float, float, float]
    classes: tuple[ClassShare, ...]


def summarize(prediction: Prediction, decided: npt.NDArray[np.bool_]) -> ProposalSummary:
    """Counts over the undecided pixels; `decided` is (H, W) bool like the prediction."""
    proposed = prediction.labels != NO_OPINION
    wanted = proposed & ~decided
    keys = prediction.labels[wanted].astype(np.uint16) * 256 + prediction.confidence[wanted]
    table = np.bincount(keys, minlength=256 * 256).reshape(256, 256)
    levels = table.sum(axis=0)
    values = np.arange(256) / 255
    total = int(levels.sum())
    per_class = table.sum(axis=1)
    sums = table @ values
    order = sorted(np.flatnonzero(per_class).tolist(), key=lambda k: (-int(per_class[k]), k))
    unsure, sure = int(levels[values < UNSURE].sum()), int(levels[values >= SURE].sum())
    share = 1 / total if total else 0.0
    return ProposalSummary(
        pixels=int(np.count_nonzero(proposed)),
        open_pixels=total,
        confidence=float(levels @ values) * share,
        bands=(unsure * share, (total - unsure - sure) * share, sure * share),
        classes=tuple(ClassShare(k, int(per_class[k]), float(sums[k] / per_class[k])) for k in order),
    )


class ConfidenceBar(QWidget):
    """Three shares side by side, unsure to sure, in three strengths of the palette's accent."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bands = (0.0, 0.0, 0.0)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Confidence of the proposal")

    def set_bands(self, bands: tuple[float, float, float]) -> None:
        """Show shares that sum to 1 (or to 0: nothing)."""
        self._bands = bands
        words = f"Unsure (below 50 %): {percent(bands[0])}\nIn between: {percent(bands[1])}\nSure (80 % or more): "
        self.setToolTip(words + percent(bands[2]))
        self.setAccessibleDescription(self.toolTip())
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(80, 8)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        clip = QPainterPath()
        clip.addRoundedRect(QRectF(self.rect()), 4, 4)
        painter.setClipPath(clip)
        painter.fillRect(self.rect(), self.palette().color(QPalette.ColorRole.Mid))
        left = 0.0
        for share, strength in zip(self._bands, (0.25, 0.55, 1.0), strict=True):
            color = QColor(self.palette().color(QPalette.ColorRole.Highlight))
            color.setAlphaF(strength)
            width = share * self.width()
            painter.fillRect(QRectF(left, 0, max(0.0, width - 1), self.height()), color)
            left += width


class ProposalPanel(Panel):
    """Accepts or rejects the proposal of the image shown.

    `accept_brush_requested` asks for the tool that accepts under the brush; `class_chosen` names a class of the table.
    """

    flags: ClassVar[Change] = Change.PROPOSAL | Change.CURRENT | Change.CATALOG | Change.HISTORY
    accept_brush_requested = Signal()
    class_chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._active_class: int | None = None
        self._summary: ProposalSummary | None = None
        self._recount = QTimer(self)
        self._recount.setSingleShot(True)
        self._recount.setInterval(_RECOUNT_DELAY_MS)
        self._recount.timeout.connect(self._show_summary)
        self._make()
        self._assemble()
        self.refresh(Change(0))

    def _make(self) -> None:
        self.empty = EmptyState("")
        self.body = QWidget()
        self.headline = label("", "value")
        self.detail = label("", "muted")
        self.warning = label("", "warning")
        self.bar = ConfidenceBar()
        self.accept_all_button = key_button(
            "Accept all",
            "accept_all",
            KEY_ACCEPT_ALL,
            "Take the proposal for every undecided pixel",
            self.accept_all,
            "primary",
        )
        self.accept_class_button = key_button(
            "Accept class", "accept_class", KEY_ACCEPT_CLASS, "Take only what is proposed for the active class",
            self.accept_class,
        )  # fmt: skip
        self.accept_brush_button = key_button(
            "By brush", "accept_brush", KEY_ACCEPT_BRUSH, "Paint to accept: takes the proposal under the brush",
            self.accept_brush_requested.emit,
        )  # fmt: skip
        self.reject_button = key_button(
            "Reject", "reject", KEY_REJECT, "Drop the proposal; your labels stay as they are", self.reject
        )
        self.table = self._make_table()

    def _make_table(self) -> QTreeWidget:
        table = QTreeWidget()
        table.setAccessibleName("Classes of the proposal")
        table.setHeaderLabels(["Class", "Pixels", "Sure"])
        table.setRootIsDecorated(False)
        table.setUniformRowHeights(True)
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        header = table.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(2, QHeaderView.ResizeMode.ResizeToContents)
        head = table.headerItem()
        for column, tip in ((1, "Undecided pixels proposed for the class"), (2, "Mean confidence of these pixels")):
            head.setTextAlignment(column, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            head.setToolTip(column, tip)
        table.setToolTip("Choose a class to make it the active one")
        table.itemActivated.connect(self._choose)
        table.itemClicked.connect(self._choose)
        return table

    def _assemble(self) -> None:
        self.column.addWidget(self.empty)
        self.column.addWidget(self.body)
        self.column.addWidget(self.error)
        self.column.addStretch(1)
        inside = QVBoxLayout(self.body)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.setSpacing(8)
        for widget in (self.headline, self.bar, self.detail, self.warning, self.accept_all_button):
            inside.addWidget(widget)
        inside.addWidget(self.accept_class_button)
        inside.addLayout(row(self.accept_brush_button, self.reject_button))
        inside.addWidget(self.table)

    # -- what a person can ask for -----------------------------------------------------------------

    def set_active_class(self, class_id: int | None) -> None:
        """Say which class "Accept class" takes."""
        self._active_class = class_id
        self._show_active_class()

    def accept_all(self) -> None:
        """Take the proposal for every undecided pixel."""
        current = self.workspace.current if self.workspace is not None else None
        if current is not None and current.prediction is not None:
            self.attempt(current.accept_all)

    def accept_class(self) -> None:
        """Take what is proposed for the active class."""
        current = self.workspace.current if self.workspace is not None else None
        class_id = self._active_class
        if current is not None and current.prediction is not None and class_id is not None:
            self.attempt(lambda: current.accept_class(class_id))

    def reject(self) -> None:
        """Drop the proposal."""
        current = self.workspace.current if self.workspace is not None else None
        if current is not None and current.prediction is not None:
            self.attempt(current.reject)

    @property
    def summary(self) -> ProposalSummary | None:
        """What is shown, or None without a proposal."""
        return self._summary

    # -- showing --------------------------------------------------------------------------------

    def refresh(self, what: Change) -> None:
        """Count again: at once for another proposal or image, shortly after the last edit otherwise."""
        if what == Change.HISTORY and self._summary is not None:
            self._recount.start()
            return
        self._show_summary()

    def _show_summary(self) -> None:
        self._recount.stop()
        workspace = self.workspace
        current = workspace.current if workspace is not None else None
        prediction = current.prediction if current is not None else None
        self.body.setVisible(prediction is not None)
        self.empty.setVisible(prediction is None)
        if workspace is None or current is None or prediction is None:
            self._summary = None
            self._show_empty(has_image=current is not None)
            return
        self._summary = summarize(prediction, current.map.decided)
        self._fill(self._summary, prediction, workspace.catalog)
        self._show_active_class()

    def _show_empty(self, *, has_image: bool) -> None:
        words = "No proposal yet. Press R to let the network label this image."
        self.empty.set_words(words if has_image else "Open an image; its proposal appears here.")

    def _fill(self, summary: ProposalSummary, prediction: Prediction, catalog: Catalog) -> None:
        which = "" if summary.pixels == prediction.labels.size else "proposed "
        if summary.open_pixels:
            set_text(self.headline, f"{percent(summary.confidence)} sure on average")
            set_text(
                self.detail,
                f"{count_text(summary.open_pixels)} of {count_text(summary.pixels)} {which}pixels undecided; "
                f"{percent(summary.bands[0])} of them unsure",
            )
        else:
            set_text(self.headline, f"Every {which}pixel is decided")
            set_text(self.detail, "Nothing of this proposal is left to accept.")
        untrained = "The network has not learnt these classes yet, so this proposal is random."
        set_text(self.warning, "" if prediction.trained else untrained)
        self.bar.set_bands(summary.bands)
        self.accept_all_button.setEnabled(summary.open_pixels > 0)
        self.accept_brush_button.setEnabled(summary.open_pixels > 0)
        self._fill_table(summary, catalog)

    def _fill_table(self, summary: ProposalSummary, catalog: Catalog) -> None:
        self.table.clear()
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        for share in summary.classes:
            if share.class_id not in catalog:
                continue
            label_class = catalog[share.class_id]
            item = QTreeWidgetItem([label_class.name, count_text(share.pixels), percent(share.confidence)])
            item.setIcon(0, _swatch(label_class.color))
            item.setData(0, _CLASS_ID_ROLE, share.class_id)
            item.setToolTip(0, label_class.name)
            item.setToolTip(1, f"{share.pixels:,} pixels")
            for column in (1, 2):
                item.setTextAlignment(column, right)
            self.table.addTopLevelItem(item)
        rows = min(max(self.table.topLevelItemCount(), 1), _MAX_VISIBLE_ROWS)
        height = self.table.sizeHintForRow(0) if self.table.topLevelItemCount() else self.fontMetrics().height() + 6
        self.table.setFixedHeight(
            self.table.header().sizeHint().height() + rows * height + 2 * self.table.frameWidth() + 4
        )

    def _show_active_class(self) -> None:
        shares = {share.class_id for share in self._summary.classes} if self._summary is not None else set()
        catalog = self.workspace.catalog if self.workspace is not None else None
        class_id = self._active_class
        name = catalog[class_id].name if catalog is not None and class_id is not None and class_id in catalog else ""
        self.accept_class_button.setEnabled(class_id in shares)
        tip = f'Take only what is proposed for "{name}"' if name else "Choose a class first"
        self.accept_class_button.set_help(tip)

    def _choose(self, item: QTreeWidgetItem) -> None:
        self.class_chosen.emit(int(item.data(0, _CLASS_ID_ROLE)))


def _swatch(color: tuple[int, int, int]) -> QIcon:
    pixmap = QPixmap(_SWATCH_PX, _SWATCH_PX)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(*color))
    painter.drawRoundedRect(0, 0, _SWATCH_PX, _SWATCH_PX, 3, 3)
    painter.end()
    icon = QIcon()
    for mode in (QIcon.Mode.Normal, QIcon.Mode.Selected):
        icon.addPixmap(pixmap, mode)
    return icon
