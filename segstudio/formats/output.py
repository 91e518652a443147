"""Folders that appear in full or not at all, and what every export puts into them."""

from __future__ import annotations

import io
import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from PIL import Image

from segstudio.core.catalog import Catalog
from segstudio.core.errors import FormatError
from segstudio.imaging.decode import probe, read_image
from segstudio.imaging.files import read_bytes, write_error
from segstudio.imaging.header import ImageInfo

CLASSES_TOML: Final = "classes.toml"
CLASS_NAMES: Final = "class_names.txt"
_CLASS_FILES: Final = (CLASSES_TOML, CLASS_NAMES, "classes.txt")
_JPEG_QUALITY: Final = 95


@contextmanager
def staged_output(out: Path) -> Iterator[Path]:
    """An empty folder beside `out` that becomes `out` at the end, and is removed where anything goes wrong.

    Raises:
        FormatError: `out` is a file, or a folder with something in it.
        UserError: The disk is full, or the place cannot be written to.
    """
    out = out.absolute()
    temporary = out.with_name(f"{out.name}.partial-{secrets.token_hex(4)}")
    try:
        _refuse_used(out)
        temporary.mkdir(parents=True)
        yield temporary
        if out.is_dir():
            out.rmdir()
        temporary.replace(out)
    except OSError as error:
        raise write_error(error, out) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _refuse_used(out: Path) -> None:
    if out.is_dir():
        if any(out.iterdir()):
            raise FormatError(f"The folder {out.name} is not empty.", "Choose a new or an empty folder.")
    elif out.exists():
        raise FormatError(f"{out.name} is a file, and the export needs a folder.", "Choose a new or an empty folder.")


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


def write_jpeg(source: Path, target: Path) -> ImageInfo:
    """The header of an image that was left in `target` as an upright JPEG: its own bytes where it is one already.

    Raises:
        ImageError: The image cannot be read.
    """
    info = probe(source)
    if info.format == "JPEG" and info.orientation == 1:
        target.write_bytes(read_bytes(source).data)
    else:
        target.write_bytes(_encoded(source, "JPEG"))
    return info


def write_upright(source: Path, target: Path) -> tuple[ImageInfo, Path]:
    """(header, path): an image left in `target`, byte by byte where it is upright already.

    Programs that read COCO apply no EXIF rotation, so a turned image is encoded anew: a JPEG as JPEG, any other as
    PNG under the name `target` with ``.png`` added.

    Raises:
        ImageError: The image cannot be read.
    """
    info = probe(source)
    if info.orientation == 1:
        target.write_bytes(read_bytes(source).data)
    elif info.format == "JPEG":
        target.write_bytes(_encoded(source, "JPEG"))
    else:
        target = target.with_name(f"{target.name}.png")
        target.write_bytes(_encoded(source, "PNG"))
    return info, target


def _encoded(source: Path, image_format: str) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(read_image(source).rgb)
    # Full colour resolution: half of it would blur the very edges that are labelled.
    options = {"quality": _JPEG_QUALITY, "subsampling": 0} if image_format == "JPEG" else {}
    image.save(buffer, format=image_format, **options)
    return buffer.getvalue()
