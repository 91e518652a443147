"""What must hold of an export to YOLO as its readers see it: ultralytics by its rules, and supervision."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from segstudio.core.catalog import IGNORE, Catalog, Kind
from segstudio.core.segmentmap import FIRST_SEGMENT_ID, Segment, SegmentMap
from segstudio.formats.options import ExportOptions

from .checks import LISTS, lists_of, unpacked
from .expecting import imported, instances, same_regions, survivors
from .foreign import Reading
from .made_up import LabelledData
from .ultralytics_rules import YoloImage, read_dataset


def check_by_rules(out: Path, project: LabelledData, options: ExportOptions) -> None:
    """Ultralytics' rules give what the report foretells, and what our own import gives, in the lists of the project."""
    back = imported("yolo", out, project)
    foretold = survivors("yolo", project, options=options).labels
    found = {part: {i.path.stem: i for i in read_dataset(out / "data.yaml", part)} for part in lists_of(project)}
    for image in project.images:
        labels = as_labels(found[LISTS[str(image.split)]].pop(Path(image.name).stem), project.catalog)
        assert same_regions(labels, back[image.name], project.catalog)
        assert np.array_equal(labels.semantic(), foretold[image.name].semantic())
        assert set(instances(foretold[image.name], project.catalog)) <= set(instances(labels, project.catalog))
    assert not any(found.values())


def as_labels(image: YoloImage, catalog: Catalog) -> SegmentMap:
    """The objects of an image as a map: things as instances, stuff as its class."""
    values = np.full(len(image.names) + 1, IGNORE if catalog.background_id is None else 0, dtype=np.uint16)
    segments = {}
    for place, name in enumerate(image.names, start=1):
        found = catalog.by_name(name)
        assert found is not None
        values[place] = found.id
        if found.kind is Kind.THING:
            values[place] = number = FIRST_SEGMENT_ID + place
            segments[number] = Segment(number, found.id)
    ids = values[image.owners]
    return SegmentMap(ids, np.ones(ids.shape, dtype=np.bool_), segments)


def folders(out: Path) -> list[tuple[str, Path, Path, Path]]:
    """What to ask supervision: it looks into no folders below the one it is given."""
    folders = sorted({path.parent.relative_to(out / "images") for path in (out / "images").rglob("*.*")})
    return [("yolo", out / "images" / f, out / "labels" / f, out / "data.yaml") for f in folders]


def check_in_supervision(out: Path, readings: list[Reading], project: LabelledData) -> None:
    """Supervision finds every object as ultralytics does, though it rounds where that cuts off."""
    rules = {i.path: i for part in lists_of(project) for i in read_dataset(out / "data.yaml", part)}
    for (_, folder, *_), reading in zip(folders(out), readings, strict=True):
        for index, image in enumerate(reading.data["images"]):
            expected = rules.pop(folder / image["image"])
            assert [reading.data["classes"][number] for number in image["classes"]] == expected.names
            for bits, mask in zip(reading.arrays[f"{index}/masks"], expected.masks, strict=True):
                assert np.array_equal(unpacked(bits, expected.owners.shape), mask)
    assert not rules
