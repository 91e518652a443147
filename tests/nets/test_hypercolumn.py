"""Hypercolumns: the release's formulas, its training, and what it learns."""

from __future__ import annotations

import math

import pytest
import torch
from box_lessons import Told, overfit, scene, thin_net
from torch import nn
from visible import noise

from segstudio.core.geometry import Rect
from segstudio.nets.box_net import aggregate
from segstudio.nets.families.hypercolumn import Hypercolumn, classifier_shares


def test_classifiers_share_each_cell_and_rule_their_own_centre() -> None:
    torch.testing.assert_close(classifier_shares(5), torch.eye(25).view(25, 5, 5))
    shares = classifier_shares(50)
    torch.testing.assert_close(shares.sum(0), torch.ones(50, 50))
    # Beyond the outer centres there is one neighbour only; half way between two, both say the same.
    assert float(shares[0, 0, 0]) == 1.0
    torch.testing.assert_close(shares[:2, 2, 9] + shares[:2, 2, 10], torch.ones(2))


def test_hypercolumn_computes_the_releases_formulas() -> None:
    """One cell at a time: boxes resample pool3 and pool4, fc7 adds a number, classifiers' probabilities are mixed."""
    net = thin_net(Hypercolumn).eval()
    for scorer, std in ((net.score_pool3, 1.0), (net.score_pool4, 0.1), (net.score_fc7, 0.003)):
        nn.init.normal_(scorer.weight, std=std)
    x, box = noise(90, 140), (10.0, 20.0, 60.0, 100.0)
    with torch.inference_mode():
        seen = net.look(x)
        scores = net.box_scores(seen, torch.tensor([box]))[0]
        deep = net._of_whole_boxes(seen[2], torch.tensor([box]), seen[3])[0, :, 0, 0]
    assert bool((scores[0] == 0).all())

    def interpolated(values: torch.Tensor, row: float, column: float) -> torch.Tensor:
        low, left = math.floor(row), math.floor(column)
        total = torch.zeros(values.shape[0])
        for r, c in ((low, left), (low, left + 1), (low + 1, left), (low + 1, left + 1)):
            share = (1 - abs(row - r)) * (1 - abs(column - c))
            inside = min(max(r, 0), values.shape[1] - 1), min(max(c, 0), values.shape[2] - 1)
            total += share * values[:, inside[0], inside[1]]
        return total

    for kind, y, x_ in ((1, 0, 0), (2, 17, 33), (3, 49, 24), (1, 25, 8)):
        classifiers = slice((kind - 1) * 25, kind * 25)
        cell = deep[classifiers].clone()
        for maps in (seen[0][0], seen[1][0]):
            row = (box[0] + (y + 0.5) / 50 * 50) / 90 * maps.shape[1] - 0.5
            column = (box[1] + (x_ + 0.5) / 50 * 80) / 140 * maps.shape[2] - 0.5
            cell += interpolated(maps[classifiers], row, column)
        mixed = interpolated(cell.sigmoid().view(1, 5, 5), (y + 0.5) / 10 - 0.5, (x_ + 0.5) / 10 - 0.5)
        assert float(scores[kind, y, x_].sigmoid()) == pytest.approx(float(mixed), abs=1e-5)


@pytest.mark.parametrize(
    ("size", "seen"),
    [((375, 500), (600, 800)), ((300, 1000), (300, 1000)), ((4000, 4000), (600, 600)), ((96, 128), (192, 256))],
)
def test_hypercolumn_looks_at_images_of_the_published_size(size: tuple[int, int], seen: tuple[int, int]) -> None:
    with torch.device("meta"):
        net = thin_net(Hypercolumn).eval()
        pool3, pool4, conv5, _ = net.look(torch.zeros(1, 3, *size))
    assert pool3.shape[-2:] == tuple(-(-side // 8) for side in seen)
    assert pool4.shape[-2:] == conv5.shape[-2:] == tuple(-(-side // 16) for side in seen)


def test_hypercolumn_trains_its_scorers_alone_unless_told_otherwise() -> None:
    with torch.device("meta"):
        frozen, free = Hypercolumn(classes=21), Hypercolumn(classes=21, freeze_trunk=False)
    assert sum(p.numel() for p in frozen.parameters() if p.requires_grad) == 3_457_500
    assert all(parameter.requires_grad for parameter in free.parameters())
    groups = frozen.parameter_groups(1e-3, 1e-3)
    rates = [(group["lr_scale"], group["weight_decay"]) for group in groups]
    assert rates == [(1.0, 1e-3), (2.0, 0.0), (0.1, pytest.approx(1e-4)), (0.2, 0.0)]
    assert sum(p.numel() for group in free.parameter_groups(1.0, 1.0) for p in group["params"]) == 137_718_044


def test_hypercolumn_learns_each_boxs_own_class_weighed_by_its_area(monkeypatch: pytest.MonkeyPatch) -> None:
    net = thin_net(Hypercolumn).train()
    x, labels = torch.zeros(1, 3, 100, 100), torch.zeros(1, 100, 100, dtype=torch.uint8)
    labels[:, 20:70, 30:80] = 3
    labels[:, 40:50, 40:50] = 255
    told = Told(net, monkeypatch)
    net.training_loss(x, labels)
    target, weight = told.labels[0], told.weights[0]
    assert target.shape == (5, 50, 50)
    assert set(torch.unique(target).tolist()) == {0, 1, 255}
    assert weight is not None
    # An overlap of 0.7 leaves an area of 0.7 to 1 / 0.7 times the object's.
    assert 0.7 * 50**2 / 224**2 <= float(weight.min()) <= float(weight.max()) <= 50**2 / 0.7 / 224**2
    logits = torch.zeros(2, 2, 50, 50)
    monkeypatch.undo()
    # Beside a channel of zeros the softmax is a sigmoid: a heat map of zeros costs ln 2 in every cell.
    assert float(net.score_loss(logits, target[:2])) == pytest.approx(math.log(2))


def test_hypercolumn_learns_that_an_image_without_objects_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    net = thin_net(Hypercolumn).train()
    told = Told(net, monkeypatch)
    net.training_loss(torch.zeros(2, 3, 50, 60), torch.zeros(2, 50, 60, dtype=torch.uint8))
    assert told.labels[0].shape == (2, 50, 50)
    assert not bool(told.labels[0].any())


def _triangle_overlaps(net: Hypercolumn, x: torch.Tensor, labels: torch.Tensor) -> list[float]:
    """Intersection over union of both triangles with what is found in the boxes around them."""
    net.eval()
    boxes = torch.tensor([[20.0, 15, 60, 55], [40, 75, 80, 115]])
    with torch.inference_mode():
        scores = net.box_scores(net.look(x), boxes)
    overlaps = []
    for place, kind in enumerate((1, 2)):
        top, left, bottom, right = (int(edge) for edge in boxes[place].tolist())
        rect = Rect(top, left, bottom - top, right - left)
        logits = aggregate(scores[place : place + 1], boxes[place : place + 1], rect)
        found = logits[kind] > 0
        truth = labels[0][rect.slices] == kind
        overlaps.append(float((found & truth).sum() / (found | truth).sum()))
    return overlaps


def test_hypercolumn_learns_two_shapes_in_a_few_steps() -> None:
    net, (x, labels) = thin_net(Hypercolumn, thin=16), scene()
    overfit(net, x, labels, steps=20, images=1, rate=3e-3)
    assert min(_triangle_overlaps(net, x, labels)) > 0.7
