"""Writing files so that a reader never sees half of one, and saying in one sentence why a file cannot be used."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from segstudio.core.errors import ImageError, UserError

_NAME_KEPT: Final = 60  # of a name that may be as long as the system allows
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_REFUSED: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


def write_atomic(path: Path, data: bytes) -> None:
    """Leaves either the whole of `data` in `path` or what was there before.

    Raises:
        UserError: The disk is full, or the folder cannot be written to.
    """
    # Not a file of `tempfile`, which nobody else may read: what is written here is often meant for others.
    temporary = path.with_name(f".{path.name[:_NAME_KEPT]}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise write_error(error, path) from error


def is_full(error: OSError) -> bool:
    """True where a disk had no space left."""
    return error.errno in _FULL


def write_error(error: OSError, path: Path) -> UserError:
    """The sentence for a file or folder that could not be written."""
    if is_full(error):
        return UserError(f"The disk is full; {path.name} was not written.", "Free some space and try again.")
    if error.errno in _REFUSED:
        return UserError(f"{path.name} cannot be written: permission denied.", "Choose a folder you may write to.")
    reason = error.strerror or str(error)
    return UserError(f"{path.name} cannot be written ({reason}).", "Check the path and the disk.")


def read_error(error: OSError, path: Path) -> ImageError:
    """The sentence for an image file that could not be opened."""
    if isinstance(error, FileNotFoundError):
        return ImageError(f"The image {path.name} is not there any more.", "Put it back or remove it from the list.")
    if isinstance(error, IsADirectoryError):
        return ImageError(f"{path.name} is a folder, not an image.", "Choose a file inside it.")
    if isinstance(error, PermissionError):
        return ImageError(f"The image {path.name} cannot be read: permission denied.", "Change its permissions.")
    reason = error.strerror or str(error)
    return ImageError(f"The image {path.name} cannot be read ({reason}).", "Check the disk it lies on.")


def read_bytes(path: Path) -> npt.NDArray[np.uint8]:
    """(n,) uint8, the content of a file; works for names in any script, which OpenCV's own reader does not.

    Raises:
        ImageError: The file cannot be opened or is empty.
    """
    try:
        data = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise read_error(error, path) from error
    if data.size == 0:
        raise empty_error(path)
    return data


def empty_error(path: Path) -> ImageError:
    """The sentence for a file of zero bytes."""
    return ImageError(f"The image {path.name} is empty (0 bytes).", "Copy it again from its source.")
