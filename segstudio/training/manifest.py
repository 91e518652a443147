"""The frozen list of what a run learns from: image files, masks copied into the run folder, and their split."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from segstudio.core.errors import UserError
from segstudio.imaging.files import write_atomic

MANIFEST_NAME: Final = "manifest.json"
MASKS_FOLDER: Final = "masks"
_VERSION: Final = 1
_SPLITS: Final = ("train", "validation")
_AGAIN: Final = "Start the training again; it writes a new run folder."


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestItem:
    """One image and what to learn from it.

    ``mask`` is an index PNG of network channel numbers (H, W) uint8, 255 where nothing may be learnt; ``instances`` a
    PNG (H, W) uint16 that tells objects apart, 0 where a pixel belongs to none.
    """

    image: Path
    mask: Path
    split: str
    name: str
    instances: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that must be there."""
        return (self.image, self.mask) if self.instances is None else (self.image, self.mask, self.instances)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything a run reads: its images, the class names in channel order, and cards.

    ``model_card`` is the network to train, ``parent_card`` the one to beat, ``start_card`` the stage before in staged
    training, whose layers the network takes over.
    """

    items: tuple[ManifestItem, ...]
    class_names: tuple[str, ...]
    model_card: Path
    parent_card: Path | None = None
    start_card: Path | None = None

    @property
    def train(self) -> tuple[ManifestItem, ...]:
        """The items to learn from."""
        return tuple(item for item in self.items if item.split == "train")

    @property
    def validation(self) -> tuple[ManifestItem, ...]:
        """The items to score on; never learnt from."""
        return tuple(item for item in self.items if item.split == "validation")

    def save(self, folder: Path) -> None:
        """Writes ``manifest.json``; masks are stored relative to the run folder, so that it can be moved.

        Raises:
            UserError: A mask lies outside the run folder.
        """
        record = {
            "version": _VERSION,
            "class_names": list(self.class_names),
            "model_card": str(self.model_card),
            "parent_card": _text(self.parent_card),
            "start_card": _text(self.start_card),
            "items": [
                {
                    "image": str(item.image),
                    "mask": _inside(folder, item.mask).as_posix(),
                    "instances": None if item.instances is None else _inside(folder, item.instances).as_posix(),
                    "split": item.split,
                    "name": item.name,
                }
                for item in self.items
            ],
        }
        write_atomic(folder / MANIFEST_NAME, json.dumps(record, indent=1, ensure_ascii=False).encode())

    @staticmethod
    def load(folder: Path) -> Manifest:
        """The manifest of a run folder, with absolute paths and every file known to exist.

        Raises:
            UserError: The manifest is missing or damaged, or names a file that is not there.
        """
        path = folder / MANIFEST_NAME
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            manifest = _from_json(folder, record)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"The training manifest {path} cannot be read: {error}.", _AGAIN) from error
        _check(manifest)
        return manifest


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _inside(folder: Path, mask: Path) -> Path:
    """The mask's path relative to the run folder, which must hold it."""
    relative = Path(mask)
    if relative.is_absolute():
        try:
            relative = relative.relative_to(folder.absolute())
        except ValueError as error:
            raise UserError(f"The training mask {mask} lies outside the run folder {folder}.", _AGAIN) from error
    if ".." in relative.parts:
        raise UserError(f"The training mask {mask} lies outside the run folder {folder}.", _AGAIN)
    return relative


def _held(folder: Path, name: str) -> Path:
    return folder.absolute() / _inside(folder, Path(name))


def _from_json(folder: Path, record: dict[str, Any]) -> Manifest:
    if record["version"] != _VERSION:
        raise ValueError(f"version {record['version']!r} is not {_VERSION}")
    items = tuple(
        ManifestItem(
            image=Path(entry["image"]),
            mask=_held(folder, entry["mask"]),
            instances=_held(folder, entry["instances"]) if entry.get("instances") else None,
            split=str(entry["split"]),
            name=str(entry["name"]),
        )
        for entry in record["items"]
    )
    return Manifest(
        items=items,
        class_names=tuple(str(name) for name in record["class_names"]),
        model_card=Path(record["model_card"]),
        parent_card=_path(record["parent_card"]),
        start_card=_path(record.get("start_card")),
    )


def _check(manifest: Manifest) -> None:
    """Raises: UserError at the first thing that would only fail later, in the middle of the run."""
    if len(manifest.class_names) < 2:
        raise UserError(
            "A model needs at least two classes to learn.", "Add a class, label some of it, and train again."
        )
    for item in manifest.items:
        if item.split not in _SPLITS:
            raise UserError(f"The training manifest gives {item.name} the unknown split {item.split!r}.", _AGAIN)
    missing: Sequence[Path] = [path for item in manifest.items for path in item.files if not path.is_file()]
    if missing:
        more = f" and {len(missing) - 1} more files are" if len(missing) > 1 else " is"
        raise UserError(f"{missing[0]}{more} missing.", "Put the images back where they were, then train again.")
