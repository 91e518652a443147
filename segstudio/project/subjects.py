"""What an error's sentence is about, found only when there is an error."""

from __future__ import annotations

from segstudio.project.database import What
from segstudio.project.images import name_of


def image_entry(image_id: int) -> What:
    """The image's row in the list."""
    return _about("The entry of", image_id)


def labels(image_id: int) -> What:
    """The image's segment map."""
    return _about("The labels of", image_id)


def stroke(image_id: int) -> What:
    """The edit just made on the image."""
    return _about("The last stroke on", image_id)


def record(_: object) -> What:
    """The events."""
    return "The record of events"


def _about(kind: str, image_id: int) -> What:
    return lambda connection: f"{kind} {name_of(connection, image_id)}"
