"""File names: which label belongs to which image, and names that stay inside the folder they are put into."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, TypeVar

from segstudio.formats.base import ImportedLabel, shortened
from segstudio.imaging.scan import IMAGE_SUFFIXES

T = TypeVar("T")
_RESERVED: Final = str.maketrans(dict.fromkeys('<>:"|?*', "_") | {chr(code): " " for code in range(32)})


@dataclass(frozen=True, slots=True)
class Matches:
    """Which label belongs to which image: (position in the list of names, label), and the names of labels left over."""

    pairs: list[tuple[int, ImportedLabel]]
    unmatched: list[str]

    def pairs_of(self, images: Sequence[T]) -> list[tuple[T, ImportedLabel]]:
        """Each label with its image, of the list whose names were matched."""
        return [(images[index], label) for index, label in self.pairs]


def match_labels(labels: Sequence[ImportedLabel], names: Sequence[str]) -> Matches:
    """Labels matched to image names: by relative path, suffix or not, else by a file name that only one image has."""
    by_path: dict[str, int] = {}
    by_file: dict[str, int | None] = {}
    for index, name in enumerate(names):
        path = PurePosixPath(name)
        by_path.setdefault(path.with_suffix("").as_posix(), index)
        by_path[path.as_posix()] = index  # a label called image.jpg.png belongs to image.jpg
        for file_name in {path.stem, path.name}:
            by_file[file_name] = None if file_name in by_file else index

    def image_of(name: str) -> int | None:
        path = PurePosixPath(name)
        bare = path.with_suffix("") if path.suffix.lower() in IMAGE_SUFFIXES else path
        found = by_path.get(name, by_path.get(bare.as_posix()))
        return by_file.get(path.name, by_file.get(bare.name)) if found is None else found

    pairs: list[tuple[int, ImportedLabel]] = []
    unmatched: list[str] = []
    taken: set[int] = set()
    for label in labels:
        found = image_of(label.name)
        if found is None and label.other_name is not None:
            found = image_of(label.other_name)
        if found is None or found in taken:
            unmatched.append(label.name)
        else:
            taken.add(found)
            pairs.append((found, label))
    return Matches(pairs, unmatched)


def unique_names(names: Sequence[str]) -> list[str]:
    """The names, the second of two that differ in capitals at most called ``name-2``: some disks ignore capitals."""
    taken: set[str] = set()
    unique = []
    for name in names:
        path, candidate, number = PurePosixPath(name), name, 2
        while candidate.casefold() in taken:
            candidate = path.with_name(f"{path.stem}-{number}{path.suffix}").as_posix()
            number += 1
        taken.add(candidate.casefold())
        unique.append(candidate)
    return unique


def safe_name(name: str) -> str:
    """A relative name that stays inside the folder it is put into, on every system."""
    parts = [part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in ("..", "/")]
    return "/".join(part.translate(_RESERVED) for part in parts) or "image"


def flat_stems(names: Sequence[str]) -> list[str]:
    """File names without folders and suffix, made unique: by folder where two share one, else by number.

    One a line in lists, so there are no line breaks and nothing that stripping would change.
    """
    paths = [PurePosixPath(safe_name(name)) for name in names]
    uses = Counter(path.stem.casefold() for path in paths)
    stems = ["_".join((*path.parts[:-1], path.stem)) if uses[path.stem.casefold()] > 1 else path.stem for path in paths]
    # The suffix keeps a dot within a name from being taken for one.
    return [name.removesuffix(".jpg") for name in unique_names([f"{' '.join(stem.split())}.jpg" for stem in stems])]


def label_names(names: Sequence[str], suffix: str) -> list[str]:
    """``photo.png`` for ``photo.jpg`` (with `suffix` ".png"), in its folder; ``photo.jpg.png`` where there is a
    ``photo.tif`` beside it.
    """
    safe = [PurePosixPath(safe_name(name)) for name in names]
    stems = Counter(path.with_suffix("").as_posix().casefold() for path in safe)
    return unique_names(
        [
            path.with_suffix(suffix).as_posix()
            if stems[path.with_suffix("").as_posix().casefold()] == 1
            else f"{path}{suffix}"
            for path in safe
        ]
    )


def renamed_warning(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """One sentence that says which names had to change, or none."""
    changed = [f"{old} is {new}" for old, new in zip(before, after, strict=True) if old != new]
    return [f"Names that occur twice were changed: {shortened(changed)}."] if changed else []
