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
    """Labels matched to image names: by relative path, suffix or not, else by a file name that only one image has, else
    by what exports make of a name (see `safe_name`, `flat_stems`).
    """
    by_path: dict[str, int] = {}
    by_file: dict[str, int | None] = {}
    by_export: dict[str, int | None] = {}
    for index, name in enumerate(names):
        path = PurePosixPath(name)
        by_path.setdefault(path.with_suffix("").as_posix(), index)
        by_path[path.as_posix()] = index  # a label called image.jpg.png belongs to image.jpg
        for file_name in {path.stem, path.name}:
            by_file[file_name] = None if file_name in by_file else index
        for exported in _exported_names(name):
            by_export[exported] = None if exported in by_export else index

    def image_of(name: str) -> int | None:
        path = PurePosixPath(name)
        bare = path.with_suffix("") if path.suffix.lower() in IMAGE_SUFFIXES else path
        places = by_path.get(name), by_path.get(bare.as_posix()), by_file.get(path.name), by_file.get(bare.name)
        found = (*places, by_export.get(name), by_export.get(bare.as_posix()))
        return next((index for index in found if index is not None), None)

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
    """The names, the second of two that differ in capitals at most called ``name-2``: some disks ignore capitals.

    A number that another name of the list has already is passed over, so that no label takes another one's image.
    """
    given = {name.casefold() for name in names}
    taken: set[str] = set()
    unique = []
    for name in names:
        path, candidate, number = PurePosixPath(name), name, 2
        while candidate.casefold() in taken or (candidate != name and candidate.casefold() in given):
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
    alone = [_one_line(path.stem) for path in paths]
    uses = Counter(stem.casefold() for stem in alone)
    shared = [uses[stem.casefold()] > 1 for stem in alone]
    wanted = [_flat(path) if often else stem for path, stem, often in zip(paths, alone, shared, strict=True)]
    order = sorted(range(len(paths)), key=shared.__getitem__)  # an image's own name is no other one's, folder or not
    # The suffix keeps a dot within a name from being taken for one.
    unique = unique_names([f"{wanted[index]}.jpg" for index in order])
    stems = {index: name.removesuffix(".jpg") for index, name in zip(order, unique, strict=True)}
    return [stems[index] for index in range(len(paths))]


def _flat(path: PurePosixPath) -> str:
    return _one_line("_".join((*path.parts[:-1], path.stem)))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _exported_names(name: str) -> set[str]:
    """What exports may call the image of that name, but for the numbers that make names unique."""
    path = PurePosixPath(safe_name(name))
    return {path.as_posix(), path.with_suffix("").as_posix(), _flat(path), _one_line(path.stem)}


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
    """One sentence that says which names had to be changed, or none."""
    changed = [f"{old} is {new}" for old, new in zip(before, after, strict=True) if old != new]
    return [f"Names had to be changed: {shortened(changed)}."] if changed else []
