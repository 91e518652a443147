"""NumPy arrays: class ids of each image as ``labels/NAME.npy``, segment ids as ``instances/NAME.npy``.

Segment ids are 0 where there is no instance; ``instances/NAME.json`` says what each one is.
"""

from __future__ import annotations

import io
import json
import lzma
import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt

from segstudio.core.catalog import IGNORE
from segstudio.core.errors import FormatError, UserError
from segstudio.core.segmentmap import SegmentMap
from segstudio.formats.base import CancelCallback, ImportedLabel, ImportSource, LabelledImage, LoadRequest
from segstudio.formats.lists import SPLITS_FOLDER, write_lists
from segstudio.formats.names import label_names
from segstudio.formats.objects import add_objects
from segstudio.formats.sources import find_files, read_object
from segstudio.formats.tables import declared_classes
from segstudio.formats.writer import Entry, Finished, FormatWriter, Written
from segstudio.imaging.files import read_error
from segstudio.imaging.labels import LabelArray

LABELS: Final = "labels"
INSTANCES: Final = "instances"
_SUFFIXES: Final = frozenset({".npy", ".npz"})
_BAND_BYTES: Final = 32 << 20
_MINUS_ONE: Final = -1  # what PyTorch loaders that cannot use 255 write for ignore
# What numpy's header parser and the zip reader raise on damaged files.
_DAMAGED: Final = (
    ValueError,
    SyntaxError,
    TypeError,
    LookupError,
    EOFError,
    RuntimeError,
    MemoryError,
    NotImplementedError,
    OverflowError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)


class NumpyWriter(FormatWriter):
    """Writes (H, W) uint8 class ids, 255 = ignore, and where there are instances (H, W) uint16 segment ids."""

    def names(self, images: Sequence[LabelledImage]) -> list[str]:
        """The label files."""
        return label_names([image.name for image in images], ".npy")

    def write(self, entry: Entry, labels: SegmentMap) -> Written:
        """Writes the arrays."""
        self._save(f"{LABELS}/{entry.name}", labels.semantic())
        segments = labels.used_segments()
        if segments:
            target = self._save(f"{INSTANCES}/{entry.name}", labels.instance_ids())
            table = {str(i): {"class": s.class_id, "crowd": s.crowd} for i, s in segments.items()}
            target.with_suffix(".json").write_text(json.dumps(table, indent=1), encoding="utf-8")
        else:  # an interrupted export may have found some, before they were deleted
            target = self.folder / INSTANCES / entry.name
            for stale in (target, target.with_suffix(".json")):
                stale.unlink(missing_ok=True)
        return Written()

    def finish(self, images: Sequence[Finished]) -> None:
        """Writes the lists."""
        write_lists(self.folder / SPLITS_FOLDER, images)

    def _save(self, name: str, array: LabelArray) -> Path:
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=False)
        target.write_bytes(buffer.getvalue())
        return target


class NumpyImporter:
    """Reads a folder of .npy files (or .npz files of one array each), or its sub-folder ``labels``."""

    def read(self, source: Path, *, cancelled: CancelCallback | None = None) -> ImportSource:
        """The labels below `source`: see `Importer`. Every pixel is decided, 255 and -1 as ignore."""
        if not source.is_dir():
            raise FormatError(f"{source.name} is not a folder.", "Choose the folder that holds the arrays.")
        folder = source / LABELS if (source / LABELS).is_dir() else source
        base = folder.parent if folder.name == LABELS else folder
        labels = []
        for path in find_files(folder, _SUFFIXES):
            name = path.relative_to(folder)
            if folder == source and name.parts[0] == INSTANCES:
                continue
            load = partial(_load, path, base / INSTANCES / name)
            labels.append(ImportedLabel(name.with_suffix("").as_posix(), load, path))
        if not labels:
            raise FormatError(f"{folder.name} holds no .npy file.", "Choose the folder that holds the arrays.")
        return ImportSource(labels, declared_classes(folder, base))


def _load(path: Path, instances_path: Path, request: LoadRequest) -> SegmentMap:
    labels = SegmentMap.from_semantic(request.table.apply(read_array(path, request), path.name))
    if instances_path.is_file() and instances_path != path:
        objects = read_array(instances_path, request, void=0)
        marks = _read_marks(instances_path.with_suffix(".json"))
        background = None if marks else request.table.catalog.background_id
        add_objects(labels, objects, void=None, background=background, marks=marks)
    return labels


def _read_marks(path: Path) -> dict[int, tuple[int, bool]]:
    """Segment ids that stay as they are, and which are crowds; none where nothing says so."""
    if not path.is_file():
        return {}
    marks = {}
    for key, value in read_object(path).items():
        if key.isascii() and key.isdecimal() and len(key) <= 5 and isinstance(value, dict):
            marks[int(key)] = (int(key), bool(value.get("crowd")))
    return marks


def read_array(path: Path, request: LoadRequest, *, void: int = IGNORE) -> LabelArray:
    """(H, W) uint8 or uint16, the array of a .npy file or the one array of a .npz file; -1 as `void`.

    What its header says is checked against the image before anything is read, and nothing is ever unpickled.

    Raises:
        FormatError: It is no array of whole numbers 0 to 65535 (or -1) of the image's size.
    """
    try:
        with _opened(path) as stream:
            return _read(stream, path, request, void)
    except UserError:
        raise
    except _DAMAGED as error:
        raise FormatError(
            f"The array {path.name} is damaged, or no array.", "Save it again with numpy.save."
        ) from error
    except OSError as error:
        raise read_error(error, path) from error


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    if path.suffix.lower() != ".npz":
        with path.open("rb") as stream:
            yield stream
        return
    with zipfile.ZipFile(path) as archive:
        members = archive.namelist()
        if len(members) != 1:
            raise FormatError(f"{path.name} holds {len(members)} arrays, not one.", "Save the labels alone.")
        with archive.open(members[0]) as stream:
            yield stream


def _read(stream: IO[bytes], path: Path, request: LoadRequest, void: int) -> LabelArray:
    shape, fortran, dtype = _read_header(stream, path)
    if dtype.kind not in "iub" or dtype.itemsize > 8:
        what = "Python objects, which are never loaded" if dtype.hasobject else f"{dtype}"
        raise FormatError(f"The array {path.name} holds {what}, not whole numbers.", "Save class ids as uint8.")
    if len(shape) != 2:
        raise FormatError(f"The array {path.name} has {len(shape)} axes, not 2.", "Save class ids as (height, width).")
    request.check_size(shape[1], shape[0], path)
    # Transposed, Fortran's order is C's.
    result = np.empty(shape[::-1] if fortran else shape, dtype=np.uint8 if dtype.itemsize == 1 else np.uint16)
    row_bytes = result.shape[1] * dtype.itemsize
    step = max(1, _BAND_BYTES // row_bytes)
    for start in range(0, result.shape[0], step):
        band = result[start : start + step]
        data = stream.read(band.shape[0] * row_bytes)
        if len(data) < band.shape[0] * row_bytes:
            raise FormatError(f"The array {path.name} is cut off: part of it is missing.", "Copy it again.")
        band[:] = _numbers(np.frombuffer(data, dtype=dtype).reshape(band.shape), path, void)
    return np.ascontiguousarray(result.T) if fortran else result


def _read_header(stream: IO[bytes], path: Path) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
    else:  # version 3 is for names of fields in other scripts
        raise FormatError(f"The array {path.name} holds records, not whole numbers.", "Save class ids as uint8.")
    if any(side < 0 for side in shape) or math.prod(shape) == 0:
        raise FormatError(f"The array {path.name} is empty.", "Save class ids as (height, width).")
    return shape, fortran, dtype


def _numbers(band: npt.NDArray[Any], path: Path, void: int) -> npt.NDArray[Any]:
    if band.dtype.kind == "b" or band.dtype == np.uint8 or band.dtype == np.uint16:
        return band
    low, high = int(band.min()), int(band.max())
    if low < _MINUS_ONE or high > 65535:
        wrong = low if low < _MINUS_ONE else high
        raise FormatError(
            f"The array {path.name} holds the value {wrong}, which is no class id.",
            "Use class ids from 0, and 255 or -1 for ignore.",
        )
    return np.where(band == _MINUS_ONE, void, band.astype(np.int64)) if low < 0 else band
