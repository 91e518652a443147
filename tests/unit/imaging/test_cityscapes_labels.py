"""The table of Cityscapes' labels, against what its papers and tools say of it."""

from __future__ import annotations

import numpy as np

from segstudio.core.catalog import Catalog
from segstudio.imaging.cityscapes_labels import cityscapes_labels, ids_by_train_id, train_ids_by_id


def test_there_are_35_labels_in_published_order() -> None:
    labels = cityscapes_labels()
    assert [label.id for label in labels] == [*range(34), -1]
    assert labels[26].name == "car"
    assert labels[26].mean_size == 12794.0202738185
    assert (labels[-1].name, labels[-1].train_id, labels[-1].ignore_in_eval) == ("license plate", -1, True)


def test_19_labels_are_evaluated_and_have_the_train_ids_in_order() -> None:
    evaluated = [label for label in cityscapes_labels() if not label.ignore_in_eval]
    assert [label.train_id for label in evaluated] == list(range(19))


def test_ten_labels_have_instances_and_a_mean_size() -> None:
    labels = cityscapes_labels()
    assert [label.id for label in labels if label.has_instances] == list(range(24, 34))
    assert all((label.mean_size is not None) == label.has_instances for label in labels)


def test_categories_have_one_id_each() -> None:
    pairs = {(label.category, label.category_id) for label in cityscapes_labels()}
    names = ["void", "flat", "construction", "object", "nature", "sky", "human", "vehicle"]
    assert pairs == {(name, number) for number, name in enumerate(names)}


def test_evaluated_labels_are_the_classes_of_the_palette() -> None:
    catalog = Catalog.from_palette("cityscapes")
    evaluated = [label for label in cityscapes_labels() if not label.ignore_in_eval]
    assert [(c.id, c.name, c.color) for c in catalog] == [(la.train_id, la.name, la.color) for la in evaluated]


def test_train_ids_and_ids_lead_to_each_other() -> None:
    train_ids = np.arange(19, dtype=np.uint8)
    assert (train_ids_by_id()[ids_by_train_id()[train_ids]] == train_ids).all()
    assert train_ids_by_id()[[0, 9, 34, 255]].tolist() == [255] * 4
    assert ids_by_train_id()[[19, 255]].tolist() == [0, 0]
