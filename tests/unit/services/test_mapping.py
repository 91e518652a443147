"""A mapping of classes keeps what the person chose and never drops a class in silence."""

from __future__ import annotations

import pytest

from segstudio.core.catalog import Catalog, LabelClass
from segstudio.core.items import Status
from segstudio.formats.classes import SourceClass
from segstudio.services.importing import MatchBy, Unknown
from segstudio.services.mapping import ADD, ClassMapping
from segstudio.services.previewing import ImportPreview

_CATALOG = Catalog.from_names(["background", "cell"])


def _mapping(*classes: SourceClass, unseen: tuple[int, ...] = ()) -> ClassMapping:
    pixels = {c.number: 5 for c in classes if c.number not in unseen}
    return ClassMapping(ImportPreview(1, 1, [], classes, pixels), _CATALOG)


def test_unmatched_classes_that_pixels_use_are_undecided() -> None:
    mapping = _mapping(SourceClass(number=1, name="Cell"), SourceClass(number=5, name="moon"))
    assert mapping.target(1) == 1
    assert [c.number for c in mapping.undecided] == [5]
    assert mapping.label_class(5) is None
    assert mapping.options(Status.REVIEWED).unknown is Unknown.REFUSE


def test_classes_no_sample_shows_need_no_decision_but_are_refused_once_they_appear() -> None:
    mapping = _mapping(SourceClass(number=5, name="moon"), unseen=(5,))
    options = mapping.options(Status.REVIEWED)
    assert mapping.undecided == ()
    assert (options.unknown, options.classes) == (Unknown.REFUSE, {})


def test_added_classes_are_left_to_the_import_and_the_others_are_explicit() -> None:
    mapping = _mapping(
        SourceClass(number=1, name="cell"),
        SourceClass(number=5, name="moon", color=(1, 2, 3)),
        SourceClass(number=6, name="dust"),
    )
    mapping.choose(ADD, 5)
    mapping.choose(255, 6)
    options = mapping.options(Status.IN_PROGRESS)
    assert (options.by, options.unknown, options.status) == (MatchBy.NAME, Unknown.ADD, Status.IN_PROGRESS)
    assert options.classes == {1: 1, 6: 255}
    made = mapping.label_class(5)
    assert made is not None
    assert (made.id, made.name, made.color) == (5, "moon", (1, 2, 3))


def test_two_added_classes_get_two_numbers() -> None:
    mapping = _mapping(SourceClass(number=0, name="sky"), SourceClass(number=700, name="sea"))
    mapping.choose(ADD, 0, 700)
    assert [mapping.added[n].id for n in (0, 700)] == [2, 3]


def test_another_way_of_matching_leaves_choices_alone() -> None:
    mapping = _mapping(SourceClass(number=1, name="moon"), SourceClass(number=0, name="cell"))
    mapping.choose(255, 0)
    mapping.match_by(MatchBy.NUMBER)
    assert (mapping.target(1), mapping.target(0)) == (1, 255)


def test_a_choice_of_a_class_that_is_gone_is_open_again() -> None:
    mapping = _mapping(SourceClass(number=9, name="moon"))
    mapping.choose(1, 9)
    mapping.set_catalog(_CATALOG.without(1))
    assert mapping.target(9) is None


def test_a_class_added_meanwhile_is_not_added_twice() -> None:
    mapping = _mapping(SourceClass(number=9, name="moon"))
    mapping.choose(ADD, 9)
    mapping.set_catalog(_CATALOG.with_class(LabelClass(id=9, name="moon", color=(1, 1, 1))))
    assert mapping.target(9) == 9
    assert not mapping.adds


@pytest.mark.parametrize("count", [253, 254])
def test_more_classes_than_a_project_holds_are_a_sentence(count: int) -> None:
    mapping = _mapping(*(SourceClass(number=1000 + n, name=f"kind {n}") for n in range(count)))
    mapping.choose(ADD, *range(1000, 1000 + count))
    assert bool(mapping.problem) == (count == 254)
