"""A small picture of a project for the welcome page, kept in the project's deletable cache folder."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

import numpy as np
from PySide6.QtCore import QRect, Qt
from PySide6.QtGui import QImage, QPixmap

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

SIZE_PX: Final = 96


def _path(project: Path) -> Path:
    return project / "cache" / "thumbnail.png"


def save_thumbnail(project: Path, rgb: npt.NDArray[np.uint8]) -> None:
    """Keep the middle square of an image (H, W, 3) uint8; a disk that refuses is no reason to complain."""
    height, width = rgb.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    step = max(1, side // (2 * SIZE_PX))
    square = np.ascontiguousarray(rgb[top : top + side : step, left : left + side : step])
    rows, columns = square.shape[:2]
    image = QImage(square.tobytes(), columns, rows, 3 * columns, QImage.Format.Format_RGB888)
    smooth = Qt.TransformationMode.SmoothTransformation
    small = image.scaled(SIZE_PX, SIZE_PX, Qt.AspectRatioMode.IgnoreAspectRatio, smooth)
    with suppress(OSError):
        _path(project).parent.mkdir(exist_ok=True)
        small.save(str(_path(project)))


def load_thumbnail(project: Path) -> QPixmap | None:
    """The picture kept for a project, `SIZE_PX` on a side; None where there is none."""
    path = _path(project)
    if not path.is_file():
        return None
    picture = QPixmap(str(path))
    return None if picture.isNull() else picture.copy(QRect(0, 0, SIZE_PX, SIZE_PX))
