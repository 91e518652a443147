"""What every export puts into its folder: the classes, and the images."""

from __future__ import annotations

import io
import json
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from PIL import Image

from segstudio.core.catalog import Catalog
from segstudio.formats.options import ImageFiles
from segstudio.imaging.decode import probe, read_image
from segstudio.imaging.files import is_full, read_bytes

CLASSES_TOML: Final = "classes.toml"
CLASS_NAMES: Final = "class_names.txt"
_CLASS_FILES: Final = (CLASSES_TOML, CLASS_NAMES, "classes.txt")
_JPEG_QUALITY: Final = 95
_SUFFIXES: Final = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp", ".dib"),
    "WebP": (".webp",),
}


def write_classes(folder: Path, catalog: Catalog) -> None:
    """Leaves the classes in `folder`: names by number for other programs, and ids, colours and kinds for ours."""
    last = max(catalog.ids, default=-1)
    names = [catalog[i].name if i in catalog else f"unused-{i}" for i in range(last + 1)]
    (folder / CLASS_NAMES).write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    tables = [
        f"[[classes]]\nid = {c.id}\nname = {json.dumps(c.name, ensure_ascii=False)}\n"
        f'color = {list(c.color)}\nkind = "{c.kind}"\n'
        for c in catalog
    ]
    (folder / CLASSES_TOML).write_text("\n".join(tables), encoding="utf-8")


def read_classes(*folders: Path) -> Catalog | None:
    """The classes the first of the folders declares that declares any, else None.

    Raises:
        UserError: The file that declares them cannot be read.
    """
    for folder in folders:
        for name in _CLASS_FILES:
            if (folder / name).is_file():
                return Catalog.from_file(folder / name)
    return None


@dataclass(frozen=True, slots=True)
class PlacedImage:
    """An image file as an export holds it.

    Attributes:
        file: Below the export's folder, with forward slashes; the absolute path of the original where it is only
            referred to.
        width: Pixels, upright.
        height: As `width`.
        turned: It is referred to and turned by EXIF, which readers may not look at.
        copied: It was copied though a link was wanted: links do not reach another drive.
    """

    file: str
    width: int
    height: int
    turned: bool = False
    copied: bool = False

    @property
    def counts(self) -> dict[str, int]:
        """For the report: see `Written.counts`."""
        return {
            "Images copied, since links do not reach their drive": int(self.copied),
            "Images turned by EXIF, which many readers do not look at (copy them instead)": int(self.turned),
        }


def place_image(
    source: Path, folder: Path, name: str, files: ImageFiles, *, formats: frozenset[str] | None = None
) -> PlacedImage:
    """An image brought into an export: its own bytes where it is upright and of one of the `formats`.

    Programs that read labels apply no EXIF rotation, so a turned image is encoded anew: a JPEG as JPEG, any other as
    PNG. The suffix of a file encoded anew, and of any for readers that take only some formats, fits its content.

    Args:
        source: The image file.
        folder: The export's folder.
        name: Where the image goes below it; the suffix may change.
        files: What becomes of image files.
        formats: What readers take ("JPEG", "PNG"; the first in the alphabet is made where it must be); None: anything.

    Raises:
        ImageError: The image cannot be read.
        OSError: The disk refused.
    """
    info = probe(source)
    if files is ImageFiles.REFERENCE:
        return PlacedImage(source.absolute().as_posix(), info.width, info.height, turned=info.orientation != 1)
    keep = info.orientation == 1 and (formats is None or info.format in formats)
    wanted = info.format if keep or info.format == "JPEG" else "PNG"
    if formats is not None and wanted not in formats:
        wanted = min(formats)
    target = folder / (name if keep and formats is None else _with_suffix(name, wanted))
    target.parent.mkdir(parents=True, exist_ok=True)
    copied = False
    if not keep:
        target.write_bytes(_encoded(source, wanted))
    elif files is ImageFiles.LINK:
        copied = not _link(source, target)
    if keep and (copied or files is ImageFiles.COPY):
        target.write_bytes(read_bytes(source).data)
    return PlacedImage(target.relative_to(folder).as_posix(), info.width, info.height, copied=copied)


def _with_suffix(name: str, image_format: str) -> str:
    """The name with a suffix that tells the truth; ``a.tif`` encoded as PNG becomes ``a.tif.png``, never ``a.png``."""
    path = PurePosixPath(name)
    return name if path.suffix.lower() in _SUFFIXES[image_format] else f"{name}{_SUFFIXES[image_format][0]}"


def _link(source: Path, target: Path) -> bool:
    target.unlink(missing_ok=True)  # of an interrupted export; writing into a link would change the original
    try:
        os.link(source, target)
    except OSError as error:
        if is_full(error):
            raise
        return False
    return True


def _encoded(source: Path, image_format: str) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(read_image(source).rgb)
    # Full colour resolution: half of it would blur the very edges that are labelled.
    options = {"quality": _JPEG_QUALITY, "subsampling": 0} if image_format == "JPEG" else {}
    image.save(buffer, format=image_format, **options)
    return buffer.getvalue()
