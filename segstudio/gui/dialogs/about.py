"""Version, licence, and what the program stands on."""

from __future__ import annotations

import platform

from PySide6.QtCore import Qt, qVersion
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QLabel, QVBoxLayout, QWidget

import segstudio
from segstudio.gui.wordmark import Wordmark


class AboutDialog(QDialog):
    """What this program is."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("About SegStudio")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(440)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(32, 32, 32, 16)
        layout.setSpacing(12)
        layout.addWidget(Wordmark(self))
        version = getattr(segstudio, "__version__", "")
        facts = (
            "Label a segmentation data set while a network learns from every correction.",
            f"Version {version}, Apache License 2.0",
            f"Python {platform.python_version()}, Qt {qVersion()} (LGPL 3), icons: Material Design Icons (Apache 2.0)",
            "Images, labels and models stay on this computer.",
        )
        for number, fact in enumerate(facts):
            label = QLabel(fact, self)
            label.setWordWrap(True)
            if number:
                label.setProperty("role", "muted")
            layout.addWidget(label)
        layout.addSpacing(8)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close, self)
        buttons.rejected.connect(self.reject)
        layout.addWidget(buttons)
