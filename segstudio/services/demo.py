"""A ready project on real images that scikit-image's wheel ships, for a first minute without any preparation."""

from __future__ import annotations

import importlib.resources
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from segstudio.core.catalog import Catalog
from segstudio.core.errors import ProjectError
from segstudio.core.items import Status
from segstudio.core.paths import projects_dir, resources_dir
from segstudio.core.segmentmap import SegmentMap
from segstudio.imaging.decode import read_image, read_labels
from segstudio.imaging.files import write_atomic
from segstudio.project.project import Project
from segstudio.services.opening import PROJECT_SUFFIX

DEMO_NAME: Final = "Demo"
_SAMPLES: Final = ("skimage", "data")


@dataclass(frozen=True, slots=True)
class DemoImage:
    """One image of the demo: a cut of a sample image, and its labels where it comes labelled."""

    name: str
    source: str
    crop: tuple[int, int, int, int] | None
    labels: str | None
    reviewed: bool


def open_demo(*, fresh: bool = False) -> Project:
    """The demo project; made on first use, later opened as the person left it (or anew with `fresh`).

    Raises:
        ProjectError: It cannot be made, or another window holds it.
    """
    path = projects_dir() / f"{DEMO_NAME}{PROJECT_SUFFIX}"
    if path.exists() and not fresh:
        return Project.open(path)
    number = 1
    while path.exists():
        number += 1
        path = projects_dir() / f"{DEMO_NAME}-{number}{PROJECT_SUFFIX}"
    return make_demo(path)


def make_demo(path: Path) -> Project:
    """A new demo project at `path`, its images in a folder beside it."""
    table = _description()
    images = path.with_name(f"{path.stem} images")
    rows = _rows(table)
    try:
        images.mkdir(parents=True, exist_ok=True)
        for row in rows:
            write_atomic(images / row.name, _cut(row))
    except OSError as error:
        raise ProjectError(
            f"The demo cannot be written to {images} ({error.strerror}).", "Free some space or check the folder."
        ) from error
    project = Project.create(path, images=images, catalog=Catalog.from_json(table["classes"]))
    by_name = {item.name: item for item in project.images()}
    for row in rows:
        if row.labels is None:
            continue
        labels = read_labels(resources_dir() / "demo" / row.labels).astype(np.uint8)
        item = by_name[row.name]
        height, width = labels.shape
        project.set_image_info(item.id, width=width, height=height, problem=None)
        status = Status.REVIEWED if row.reviewed else None
        project.save_map(item.id, SegmentMap.from_semantic(labels, labels != 255), action="import", status=status)
    project.set_setting("active_model", table["model"])
    first = next((r.name for r in rows if r.labels is None), rows[0].name)
    project.set_setting("current_image", by_name[first].id)
    project.set_setting("is_demo", 1)
    return project


def _description() -> dict[str, Any]:
    path = resources_dir() / "demo" / "demo.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _rows(table: dict[str, Any]) -> list[DemoImage]:
    return [
        DemoImage(
            name=row["name"],
            source=row["source"],
            crop=tuple(row["crop"]) if "crop" in row else None,
            labels=row.get("labels"),
            reviewed=bool(row.get("reviewed", "labels" in row)),
        )
        for row in table["images"]
    ]


def _cut(row: DemoImage) -> bytes:
    """The PNG file of a demo image."""
    with importlib.resources.as_file(importlib.resources.files(_SAMPLES[0]) / _SAMPLES[1] / row.source) as source:
        rgb = read_image(source).rgb
    if row.crop is not None:
        top, left, height, width = row.crop
        rgb = rgb[top : top + height, left : left + width]
    return bytes(cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1].tobytes())
