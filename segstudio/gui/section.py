"""A titled part of the side column that folds away."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QSizePolicy, QToolButton, QVBoxLayout, QWidget

from segstudio.gui import icons


class Section(QWidget):
    """A header button that shows or hides the widget below it."""

    toggled = Signal(bool)

    def __init__(self, title: str, content: QWidget, parent: QWidget | None = None, *, stretch: bool = False) -> None:
        super().__init__(parent)
        self.content = content
        self.header = QToolButton(self)
        self.header.setObjectName("sectionHeader")
        self.header.setText(title)
        self.header.setCheckable(True)
        self.header.setChecked(True)
        self.header.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.header.setIconSize(QSize(14, 14))
        self.header.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.header.setAccessibleName(f"{title} section")
        self.header.toggled.connect(self._on_toggled)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.header)
        layout.addWidget(content, 1 if stretch else 0)
        self._stretch = stretch
        self._refresh(open_=True)

    @property
    def is_open(self) -> bool:
        """True while the content shows."""
        return self.header.isChecked()

    def set_open(self, open_: bool) -> None:  # noqa: FBT001 - Qt setter
        """Show or hide the content."""
        self.header.setChecked(open_)

    def _on_toggled(self, open_: bool) -> None:  # noqa: FBT001 - Qt slot
        self._refresh(open_=open_)
        self.toggled.emit(open_)

    def _refresh(self, *, open_: bool) -> None:
        self.content.setVisible(open_)
        self.header.setIcon(icons.icon("chevron_down" if open_ else "chevron_right", "text_muted"))
        vertical = QSizePolicy.Policy.Expanding if self._stretch and open_ else QSizePolicy.Policy.Maximum
        self.setSizePolicy(QSizePolicy.Policy.Preferred, vertical)
