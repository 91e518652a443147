"""Which class of the catalog each channel of a network stands for; free of torch."""

from __future__ import annotations

from collections.abc import Sequence

OTHER_NAMES = "The model's classes have other names than the project's; they are matched by their order."


def channels_by_name(
    network_names: Sequence[str], catalog_ids: Sequence[int], class_names: Sequence[str]
) -> tuple[int, ...] | None:
    """The class id of every channel of a network whose classes all occur in the catalog by name, else None.

    So a trained network stays of use when a class is added to the catalog: it never proposes the new one.
    """
    by_name = {_plain(name): class_id for class_id, name in zip(catalog_ids, class_names, strict=True)}
    ids = [by_name.get(_plain(name)) for name in network_names]
    found = tuple(class_id for class_id in ids if class_id is not None)
    if not found or len(found) != len(ids) or len(set(found)) != len(found):
        return None
    return found


def channels_by_order(catalog_ids: Sequence[int]) -> tuple[int, ...]:
    """The class ids in the order of the channels of a network made for this catalog."""
    return tuple(sorted(catalog_ids))


def _plain(name: str) -> str:
    return name.strip().strip("_").casefold()
