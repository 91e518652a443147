"""What a new project needs: name, images, classes, and where to save it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from segstudio.core.catalog import PALETTES, Catalog
from segstudio.core.errors import UserError
from segstudio.core.paths import projects_dir

_SUFFIX: Final = ".segstudio"
_PALETTE_TITLES: Final = {
    "voc": "PASCAL VOC (21 classes)",
    "camvid": "CamVid (11 classes)",
    "cityscapes": "Cityscapes (19 classes)",
}
_DEFAULT_CLASSES: Final = "background\nobject"


class NewProjectDialog(QDialog):
    """Asks for a new project; `ready` carries the project's path, the image folder and the classes."""

    ready = Signal(object, object, object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("New project")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(560)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(24, 24, 24, 16)
        layout.setSpacing(16)
        form = QFormLayout()
        form.setHorizontalSpacing(16)
        form.setVerticalSpacing(12)
        form.setLabelAlignment(Qt.AlignmentFlag.AlignRight)
        self.images = self._line("Folder of images")
        self.name = self._line("Project name")
        self.folder = self._line("Folder to save the project in")
        self.folder.setText(str(projects_dir()))
        self.images.textChanged.connect(self._suggest_name)
        form.addRow("Images", self._with_button(self.images, "Folder of images"))
        form.addRow("Name", self.name)
        form.addRow("Save in", self._with_button(self.folder, "Folder to save the project in"))
        form.addRow("Classes", self._build_classes())
        layout.addLayout(form)
        self.problem = QLabel(self)
        self.problem.setProperty("role", "error")
        self.problem.setWordWrap(True)
        self.problem.hide()
        layout.addWidget(self.problem)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel, self)
        create = QPushButton("Create project", self)
        create.setProperty("primary", True)
        create.setDefault(True)
        buttons.addButton(create, QDialogButtonBox.ButtonRole.AcceptRole)
        buttons.accepted.connect(self._finish)
        buttons.rejected.connect(self.reject)
        layout.addWidget(buttons)

    def _line(self, name: str) -> QLineEdit:
        line = QLineEdit(self)
        line.setAccessibleName(name)
        return line

    def _with_button(self, line: QLineEdit, title: str) -> QWidget:
        box = QWidget(self)
        row = QHBoxLayout(box)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        button = QPushButton("Browse…", box)
        button.setAccessibleName(f"Browse: {title}")
        button.clicked.connect(lambda: self._browse(line, title))
        row.addWidget(line, 1)
        row.addWidget(button)
        return box

    def _build_classes(self) -> QWidget:
        box = QWidget(self)
        column = QVBoxLayout(box)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        self.source = QComboBox(box)
        self.source.setAccessibleName("Where the classes come from")
        self.source.addItem("Type names, one a line", "names")
        self.source.addItem("Read a file (.txt or .toml)", "file")
        for palette in PALETTES:
            self.source.addItem(_PALETTE_TITLES.get(palette, palette), palette)
        self.names = QPlainTextEdit(_DEFAULT_CLASSES, box)
        self.names.setAccessibleName("Class names, one a line")
        self.names.setTabChangesFocus(True)
        self.names.setFixedHeight(112)
        self.file = self._line("Classes file")
        file_box = QWidget(box)
        row = QHBoxLayout(file_box)
        row.setContentsMargins(0, 0, 0, 0)
        button = QPushButton("Browse…", file_box)
        button.setAccessibleName("Browse: classes file")
        button.clicked.connect(self._browse_file)
        row.addWidget(self.file, 1, Qt.AlignmentFlag.AlignTop)
        row.addWidget(button, 0, Qt.AlignmentFlag.AlignTop)
        note = QLabel("The published names and colours. You can change them later.", box)
        note.setProperty("role", "muted")
        note.setWordWrap(True)
        note.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.pages = QStackedWidget(box)
        for page in (self.names, file_box, note):
            self.pages.addWidget(page)
        self.source.currentIndexChanged.connect(lambda index: self.pages.setCurrentIndex(min(index, 2)))
        column.addWidget(self.source)
        column.addWidget(self.pages)
        return box

    def _browse(self, line: QLineEdit, title: str) -> None:
        path = QFileDialog.getExistingDirectory(self, title, line.text())
        if path:
            line.setText(path)

    def _browse_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Classes file", "", "Classes (*.txt *.toml);;All files (*)")
        if path:
            self.file.setText(path)

    def _suggest_name(self, text: str) -> None:
        if not self.name.isModified():
            self.name.setText(Path(text).name)

    def catalog(self) -> Catalog:
        """The classes asked for.

        Raises:
            UserError: There is none, two share a name, or the file cannot be read.
        """
        source = self.source.currentData()
        if source == "names":
            names = [line.strip() for line in self.names.toPlainText().splitlines() if line.strip()]
            if not names:
                raise UserError("There is no class yet.", "Type at least one name.")
            return Catalog.from_names(names)
        if source == "file":
            return Catalog.from_file(Path(self.file.text()).expanduser())
        return Catalog.from_palette(source)

    def _checked(self) -> tuple[Path, Path, Catalog]:
        images = Path(self.images.text().strip()).expanduser()
        if not self.images.text().strip() or not images.is_dir():
            raise UserError("The folder of images does not exist.", "Choose a folder.")
        name = re.sub(r'[\\/:*?"<>|]+', "_", self.name.text().strip())
        if not name:
            raise UserError("The project has no name.", "Type one.")
        path = Path(self.folder.text().strip()).expanduser() / f"{name.removesuffix(_SUFFIX)}{_SUFFIX}"
        if path.exists():
            raise UserError(f"{path.name} exists there already.", "Choose another name or folder.")
        return path, images, self.catalog()

    def _finish(self) -> None:
        try:
            path, images, catalog = self._checked()
        except UserError as error:
            self.problem.setText(str(error))
            self.problem.show()
            return
        self.ready.emit(path, images, catalog)
        self.accept()
