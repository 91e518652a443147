"""A segment map taken apart into the shapes that annotation tools know, and what remains of it once they are drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Final

import cv2
import numpy as np

from segstudio.core.catalog import IGNORE, Catalog, Kind
from segstudio.core.errors import FormatError
from segstudio.core.geometry import Rect
from segstudio.core.segmentmap import FIRST_SEGMENT_ID, LAST_SEGMENT_ID, SegmentMap
from segstudio.formats.classes import SourceClass, named_classes
from segstudio.imaging.contours import Connectivity, bounding_rects, components_with_rects
from segstudio.imaging.fills import Mask
from segstudio.imaging.polygons import Outline, Ring, simplified

Tracer = Callable[..., list[Outline]]
"""`polygons.rings` or `polygons.centre_rings`."""

VOID_LABEL: Final = "__ignore__"
BACKGROUND_LABEL: Final = "_background_"
"""What labelme's own scripts call the two; every tool here is told the same."""


class Role(StrEnum):
    """What a shape stands for, for what tools have no place for: a plain class, an instance, or a crowd of them."""

    PLAIN = "plain"
    INSTANCE = "instance"
    CROWD = "crowd"

    @classmethod
    def of(cls, value: object) -> Role | None:
        """The role of that name; None for anything else, as in files that others wrote."""
        return next((role for role in cls if role == value), None)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Region:
    """Pixels that become a shape.

    Attributes:
        value: What the segment map holds there: a class id, a segment id (256 or more), or 255 for ignore.
        class_id: The class, 255 for ignore.
        role: What the shape stands for.
        mask: The pixels inside `rect`.
        rect: Their bounding box.
    """

    value: int
    class_id: int
    role: Role
    mask: Mask
    rect: Rect

    @property
    def group(self) -> int | None:
        """The instance the pixels belong to; None for a plain class."""
        return self.value if self.value >= FIRST_SEGMENT_ID else None

    @property
    def is_void(self) -> bool:
        """True where no class may be claimed."""
        return self.class_id == IGNORE


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """A connected part of a region, and the ring around it that is written, holes left to what is drawn over it."""

    region: Region
    ring: Ring


def label_of(class_id: int, catalog: Catalog) -> str:
    """What a class is called in a label file."""
    if class_id == IGNORE:
        return VOID_LABEL
    return BACKGROUND_LABEL if class_id == catalog.background_id else catalog[class_id].name


def regions(labels: SegmentMap, catalog: Catalog) -> Iterator[Region]:
    """One region for each instance and each plain class, and one for ignore; the background is what remains."""
    void = [IGNORE]
    for value, rect in bounding_rects(labels.ids, lowest=0 if catalog.background_id is None else 1).items():
        segment = labels.segments.get(value)
        class_id = value if segment is None else segment.class_id
        if class_id not in catalog:
            void.append(value)
            continue
        role = Role.PLAIN if segment is None else Role.CROWD if segment.crowd else Role.INSTANCE
        yield Region(value=value, class_id=class_id, role=role, mask=labels.ids[rect.slices] == value, rect=rect)
    unclaimed = np.isin(labels.ids, void)
    if unclaimed.any():
        mask, rect = cropped(unclaimed)
        yield Region(value=IGNORE, class_id=IGNORE, role=Role.PLAIN, mask=mask, rect=rect)


def objects(labels: SegmentMap, catalog: Catalog) -> Iterator[Region]:
    """The regions, but each connected part of a plain thing class by itself: it is an object nobody gave a number."""
    for region in regions(labels, catalog):
        if region.role is Role.PLAIN and not region.is_void and catalog[region.class_id].kind is Kind.THING:
            yield from connected(region)
        else:
            yield region


def connected(region: Region, connectivity: Connectivity = 8) -> Iterator[Region]:
    """The connected parts of a region."""
    parts, rects = components_with_rects(region.mask, connectivity)
    for number, inner in enumerate(rects, start=1):
        rect = Rect(region.rect.top + inner.top, region.rect.left + inner.left, inner.height, inner.width)
        yield replace(region, mask=parts[inner.slices] == number, rect=rect)


def layers(labels: SegmentMap, catalog: Catalog, trace: Tracer, tolerance: float) -> list[Drawn]:
    """Everything as rings without holes, to be drawn one over the other in this order.

    What lies in a hole is drawn after what surrounds it, background too. Parts are 4-connected: two of them cannot
    cross at a corner, so either of two rings lies wholly inside or outside the other, and with a tolerance of 0
    every pixel comes back.
    """
    holes = np.zeros(labels.shape, dtype=np.bool_)
    drawn: list[Drawn] = []
    for region in regions(labels, catalog):
        for part, outline in _traced(region, trace):
            if outline.holes:
                holes[part.rect.slices] |= enclosed(part.mask)
            drawn.append(Drawn(part, simplified(outline.outer, tolerance)))
    background = catalog.background_id
    if background is not None and (holes := holes & (labels.ids == background)).any():
        mask, rect = cropped(holes)
        whole = Region(value=background, class_id=background, role=Role.PLAIN, mask=mask, rect=rect)
        drawn += [Drawn(part, simplified(outline.outer, tolerance)) for part, outline in _traced(whole, trace)]
    return sorted(drawn, key=lambda layer: -layer.region.rect.area)  # what lies inside has the smaller box


def _traced(region: Region, trace: Tracer) -> Iterator[tuple[Region, Outline]]:
    for part in connected(region, connectivity=4):
        (outline,) = trace(part.mask, offset=(part.rect.left, part.rect.top))
        yield part, outline


def enclosed(mask: Mask) -> Mask:
    """The pixels outside a mask (H, W) from which no 4-connected way leads out of the box."""
    flooded = np.pad(mask.view(np.uint8), 1)
    cv2.floodFill(flooded, None, (0, 0), 2, flags=4)
    return np.asarray(flooded[1:-1, 1:-1] == 0)


def cropped(mask: Mask) -> tuple[Mask, Rect]:
    """(mask, box) of a mask that is not empty, in its bounding box."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    rect = Rect(int(rows[0]), int(columns[0]), int(rows[-1] - rows[0] + 1), int(columns[-1] - columns[0] + 1))
    return mask[rect.slices], rect


def painted(labels: SegmentMap, catalog: Catalog, shapes: Iterable[tuple[Mask, Rect, int]]) -> SegmentMap:
    """What a reader gets that paints `shapes` (mask, box, value) one over the other, on background if there is one."""
    background = catalog.background_id
    ids = np.full(labels.shape, IGNORE if background is None else background, dtype=np.uint16)
    decided = np.full(labels.shape, background is not None)
    for mask, rect, value in shapes:
        ids[rect.slices][mask] = value
        decided[rect.slices][mask] = True
    return SegmentMap(ids, decided, dict(labels.segments))


def fill_layers(drawn: Iterable[Drawn], fill: Callable[[Ring], tuple[Mask, Rect]]) -> Iterator[tuple[Mask, Rect, int]]:
    """(mask, box, value) of each layer as a reader fills its ring, for `painted`.

    Raises:
        FormatError: A ring is more than readers can fill.
    """
    for layer in drawn:
        try:
            yield *fill(layer.ring), layer.region.value
        except ValueError as error:
            raise FormatError(
                f"A region is too ragged for one polygon ({error}).", "Choose masks, or a larger tolerance."
            ) from error


def instance_ids(groups: Sequence[tuple[str, int] | None]) -> list[int | None]:
    """A segment id for each shape of an image: one for shapes of the same (label, group), one each for the others.

    A group keeps its number where that can be an id; None where ids are used up.
    """
    ids: dict[tuple[str, int], int] = {}
    taken: set[int] = set()
    for group in groups:
        if group is not None and FIRST_SEGMENT_ID <= group[1] <= LAST_SEGMENT_ID and group[1] not in taken:
            ids[group] = group[1]
            taken.add(group[1])
    free = (number for number in range(FIRST_SEGMENT_ID, LAST_SEGMENT_ID + 1) if number not in taken)
    found: list[int | None] = []
    for group in groups:
        if group is None:
            found.append(next(free, None))
            continue
        if group not in ids and (number := next(free, None)) is not None:
            ids[group] = number
        found.append(ids.get(group))
    return found


def numbered(declared: Sequence[SourceClass], labels: Set[str]) -> tuple[tuple[SourceClass, ...], dict[str, int]]:
    """(classes, numbers): what a source of names declares and whatever else its shapes are called, and the number of
    each name.

    Nobody gave the other names a number; theirs follow the alphabet, and are none that a class of a project can have.
    """
    numbers = {known.name: known.number for known in reversed(declared)}
    background = next((known.number for known in declared if known.is_background), None)
    if background is not None:
        numbers.setdefault(BACKGROUND_LABEL, background)
    others = named_classes(sorted(labels - numbers.keys()), first=IGNORE + 1 if declared else 0)
    return (*declared, *others), numbers | {other.name: other.number for other in others}


def names_with_own_stems(names: Sequence[str]) -> list[str]:
    """Unique names of which no two become one without their suffix: ``photo.png.png`` and ``photo.jpg.jpg`` for
    ``photo.png`` and ``photo.jpg``, which an import finds by such names.

    No name is another's without suffix either, since the suffix of an image that is encoded anew may be appended.

    Args:
        names: Safe ones.
    """
    paths = [PurePosixPath(name) for name in names]
    stems = Counter(path.with_suffix("").as_posix().casefold() for path in paths)
    shared = [stems[path.with_suffix("").as_posix().casefold()] > 1 for path in paths]
    taken: set[str] = set()
    unique = list(names)
    for index in sorted(range(len(paths)), key=shared.__getitem__):  # who can keep a name keeps it
        path = paths[index]
        candidate = path.with_name(f"{path.name}{path.suffix}") if shared[index] else path
        stem, number = candidate.stem, 2
        while not taken.isdisjoint(claims := _claims(candidate)):
            candidate = path.with_name(f"{stem}-{number}{path.suffix}")
            number += 1
        taken |= claims
        unique[index] = candidate.as_posix()
    return unique


def _claims(path: PurePosixPath) -> set[str]:
    return {path.as_posix().casefold(), path.with_suffix("").as_posix().casefold()}
