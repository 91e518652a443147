"""File names: which label belongs to which image, and names that stay inside the folder they are put into."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
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
    """Labels matched to image names: by path, else without suffix, else by file name, else by what exports make of one.

    What stands for several images stands for none of them.
    """
    paths = [PurePosixPath(name) for name in names]
    exact = _table({path.as_posix()} for path in paths)
    stems = _table({path.with_suffix("").as_posix()} for path in paths)
    files = _table({path.stem, path.name} for path in paths)
    exports = _table(_exported_names(name) for name in names)

    def image_of(name: str) -> int | None:
        path = PurePosixPath(name)
        bare = path.with_suffix("") if path.suffix.lower() in IMAGE_SUFFIXES else path
        found = (
            *(table.get(key) for key in (name, bare.as_posix()) for table in (exact, stems)),
            *(files.get(key) for key in (path.name, bare.name)),
            *(exports.get(key) for key in (name, bare.as_posix())),
        )
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
    """File names without folders and suffix; with folders where two share one, and the suffix where two share that.

    What is the same even so is numbered. One a line in lists, so there are no line breaks and nothing that stripping
    would change.
    """
    forms = [_flat_forms(name) for name in names]
    files = {PurePosixPath(name).name.casefold() for name in names}  # photo.jpg is no stem where it is an image
    chosen: dict[int, str] = {}
    taken = set(files)
    for level in zip(*forms, strict=True):
        uses = Counter(form.casefold() for index, form in enumerate(level) if index not in chosen)
        fresh = {
            index: form
            for index, form in enumerate(level)
            if index not in chosen and uses[form.casefold()] == 1 and form.casefold() not in taken
        }
        chosen |= fresh
        taken |= {form.casefold() for form in fresh.values()}
    order = sorted(range(len(names)), key=lambda index: index not in chosen)
    # The suffix keeps a dot within a name from being taken for one.
    unique = unique_names([f"{chosen.get(index, forms[index][-1])}.jpg" for index in order])
    stems = {index: name.removesuffix(".jpg") for index, name in zip(order, unique, strict=True)}
    return [stems[index] for index in range(len(names))]


def _flat_forms(name: str) -> tuple[str, str, str]:
    """A name without folders and suffix, with folders, and with both."""
    path = PurePosixPath(safe_name(name))
    folders = "_".join(path.parts[:-1])
    forms = path.stem, f"{folders}_{path.stem}" if folders else path.stem
    stem, whole = (" ".join(form.split()) for form in forms)
    return stem, whole, f"{whole}_{path.suffix.removeprefix('.')}"


def _exported_names(name: str) -> set[str]:
    """What exports may call the image of that name, but for the numbers that make names unique."""
    path = PurePosixPath(safe_name(name))
    return {path.as_posix(), path.with_suffix("").as_posix(), *_flat_forms(name)}


def _table(keys: Iterable[set[str]]) -> dict[str, int | None]:
    """The position at which each key stands; None where it stands at several."""
    table: dict[str, int | None] = {}
    for index, own in enumerate(keys):
        for key in own:
            table[key] = None if key in table else index
    return table


def label_names(names: Sequence[str], suffix: str) -> list[str]:
    """``photo.png`` for ``photo.jpg`` (with `suffix` ".png"), in its folder; ``photo.jpg.png`` where there is a
    ``photo.tif`` or a ``photo`` beside it.
    """
    safe = [PurePosixPath(safe_name(name)) for name in names]
    stems = [path.with_suffix("").as_posix().casefold() for path in safe]
    uses = Counter(stems) + Counter({path.as_posix().casefold() for path in safe if path.suffix})
    return unique_names(
        [
            path.with_suffix(suffix).as_posix() if uses[stem] == 1 else f"{path}{suffix}"
            for path, stem in zip(safe, stems, strict=True)
        ]
    )


def renamed_warning(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """One sentence that says which names had to be changed, or none."""
    changed = [f"{old} is {new}" for old, new in zip(before, after, strict=True) if old != new]
    return [f"Names had to be changed: {shortened(changed)}."] if changed else []
