"""Hypercolumns (Hariharan, Arbelaez, Girshick, Malik: Hypercolumns for Object Segmentation and Fine-grained
Localization. CVPR 2015), the Fast R-CNN variant of the authors' release.

Each pixel of a box is described by what several layers of VGG-16 say at its place. Classifying the stacked layers is
the same as classifying each and adding the scores (section 3.3), so pool3 and pool4 are scored over the whole image,
and boxes only resample the scores. fc7 describes a box as a whole: conv5_3 is pooled to 7 x 7 cells over the box, goes
through fc6 and fc7, and adds one number per classifier to all pixels of the box.

The release starts from a trained Fast R-CNN, this one from ImageNet. Boxes here end where their pixels end; the
release places them half a pixel off and divides by the image's sides less one, which moves a heat map by half a pixel
at most.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import roi_pool

from segstudio.core.geometry import Rect
from segstudio.nets.backbones.vgg16 import Vgg16Net, thinned
from segstudio.nets.base import parameter_group, trainable
from segstudio.nets.blocks import ConvReLU
from segstudio.nets.box_net import BoxNet, sampled
from segstudio.nets.losses import IGNORE, usable_labels
from segstudio.nets.object_boxes import Box, box_of, drawn, jittered, labelled_objects

_GRID: Final = 5
"""Classifiers per side of a box; between them is interpolated (section 3.1)."""

_POOL3_SCALE: Final = 0.0027
_POOL4_SCALE: Final = 0.063
_SHORT_SIDE_PX: Final = 600
_LONG_SIDE_PX: Final = 1000
# Blowing up small images further would cost time and show nothing new; VOC's images are enlarged 1.6 times.
_MOST_ENLARGED: Final = 2.0
_CONV5_STRIDE: Final = 16
_POOLED: Final = 7
_STD: Final = 0.01
_BOXES_PER_IMAGE: Final = 5
_OVERLAP: Final = 0.7
_FULL_WEIGHT_AREA: Final = 224.0**2
_BOXES_AT_ONCE: Final = 4


class Hypercolumn(BoxNet, Vgg16Net):
    """A heat map of 50 x 50 cells for each class, given a box around one object of it.

    Channel 0 is what is left and always 0; channel k is the logit that a cell belongs to an object of class k, if
    such an object fills the box. Nothing here says which class a box holds: that is left to a person or a detector.

    `threshold` is the release's.
    """

    family: ClassVar[str] = "hypercolumn"
    side = 50
    one_class = True
    threshold = 0.4
    head_prefixes = ("score_",)

    def __init__(self, *, classes: int, freeze_trunk: bool = True, thin: int = 1) -> None:
        options = {"freeze_trunk": freeze_trunk, "thin": thin}
        super().__init__(classes=classes, profile="CAFFE-FRCN", options=options)
        self.add_convolutions(thin=thin)
        wide = thinned(4096, thin)
        self.fc6 = ConvReLU(thinned(512, thin), wide, _POOLED)
        self.fc7 = ConvReLU(wide, wide, 1)
        self.initialise_trunk()
        if freeze_trunk:
            self.requires_grad_(requires_grad=False)
        outputs = (classes - 1) * _GRID**2
        self.score_pool3 = nn.Conv2d(thinned(256, thin), outputs, 3, padding=1)
        self.score_pool4 = nn.Conv2d(thinned(512, thin), outputs, 1)
        self.score_fc7 = nn.Conv2d(wide, outputs, 1)
        for scorer in (self.score_pool3, self.score_pool4, self.score_fc7):
            nn.init.normal_(scorer.weight, std=_STD)
            assert scorer.bias is not None
            nn.init.zeros_(scorer.bias)
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.dropout = nn.Dropout(0.5)
        # Of an image of 500 x 375; larger ones take no more.
        self.pixel_bytes = 2900

    def look(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The scores of pool3 and of pool4, conv5_3, and (2, 4): the image's sides in pixels, conv5_3 cells per pixel.

        The image is brought to a short side of 600 px, but to a long side of 1000 px at most, and enlarged twice at
        most.
        """
        height, width = x.shape[-2:]
        size = _looked_at(height, width)
        x = F.interpolate(x, size=size, mode="bilinear", align_corners=False, antialias=True)
        scores = []
        for number in range(1, 5):
            x = self.pool(self.block(x, number))
            if number == 3:
                scores.append(self.score_pool3(x * _POOL3_SCALE).float())
        scores.append(self.score_pool4(x * _POOL4_SCALE).float())
        rates = (size[0] / height / _CONV5_STRIDE, size[1] / width / _CONV5_STRIDE)
        frame = torch.tensor([[height, width, height, width], [*rates, *rates]], dtype=torch.float32, device=x.device)
        return (*scores, self.block(x, 5).float(), frame)

    def box_scores(self, seen: tuple[torch.Tensor, ...], boxes: torch.Tensor) -> torch.Tensor:
        """Logits (B, C, 50, 50) float32; channel 0 is 0, the others are heat maps of one class each."""
        heat = [self._heat(seen, some, slice(None)) for some in torch.split(boxes.float(), _BOXES_AT_ONCE)]
        return _beside_zero(torch.cat(heat))

    def _heat(self, seen: tuple[torch.Tensor, ...], boxes: torch.Tensor, outputs: slice) -> torch.Tensor:
        """Logits (B, n, 50, 50) of the n classes whose `outputs`, 25 in a row, are taken.

        The probabilities of the neighbouring classifiers are interpolated, not their scores (section 3.1). Both that
        and its complement are sums of positive numbers, so that neither loses digits.
        """
        score3, score4, conv5, frame = seen
        fractions = boxes / frame[0]
        cells = sampled(score3[:, outputs], fractions, self.side) + sampled(score4[:, outputs], fractions, self.side)
        cells = cells + self._of_whole_boxes(conv5, boxes, frame)[:, outputs]
        cells = cells.view(len(boxes), -1, _GRID**2, self.side, self.side)
        shares = classifier_shares(self.side, boxes.device)
        inside, outside = (cells.sigmoid() * shares).sum(2), ((-cells).sigmoid() * shares).sum(2)
        least = torch.finfo(torch.float32).tiny
        return inside.clamp(min=least).log() - outside.clamp(min=least).log()

    def _of_whole_boxes(self, conv5: torch.Tensor, boxes: torch.Tensor, frame: torch.Tensor) -> torch.Tensor:
        """(B, outputs, 1, 1) float32: the scores of fc7, as in Fast R-CNN with boxes clipped to the image."""
        top, left, bottom, right = boxes.unbind(1)
        # Fast R-CNN's boxes end with their last pixel.
        corners = torch.stack((top, left, bottom - 1, right - 1), dim=1).clamp(min=0).minimum(frame[0] - 1)
        rows, columns = conv5.shape[-2:]
        last = torch.tensor((rows, columns, rows, columns), device=boxes.device) - 1
        cells = (corners * frame[1]).round().minimum(last)[:, (1, 0, 3, 2)]
        pooled = roi_pool(conv5, F.pad(cells, (1, 0)), _POOLED)
        out: torch.Tensor = self.score_fc7(self.dropout(self.fc7(self.dropout(self.fc6(pooled)))))
        return out.float()

    def training_loss(self, x: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
        """Sigmoid log loss of five boxes' own classes, a scalar; arguments as for every network.

        A box lies around an object with an overlap of 0.7 at least. It counts ``min(area / 224 ** 2, 1)``, the area
        in pixels of `x` whatever its size: small boxes cover few cells of the trunk, and are noisy in a crop as they
        are in a whole image. All pixels of the class in the box count as object, for labels do not tell objects
        apart. An image without an object is one box of a class drawn at random, none of which is there.
        """
        labels = usable_labels(labels, self.classes)
        heats, targets, factors = [], [], []
        for index in range(len(x)):
            seen = self.look(x[index : index + 1])
            for kind, group in self._examples(labels[index]).items():
                boxes = torch.tensor(group, device=x.device)
                heats.append(self._heat(seen, boxes, slice((kind - 1) * _GRID**2, kind * _GRID**2)))
                found = self._at_cells(labels[index], boxes, outside=IGNORE)
                targets.append(torch.where(found == IGNORE, IGNORE, (found == kind).long()))
                factor = _box_weights(boxes)
                if weights is not None:
                    factor = factor * self._at_cells(weights[index], boxes, outside=0)
                factors.append(factor.expand(-1, self.side, self.side))
        # A softmax over 0 and a logit is the logit's sigmoid.
        return self.score_loss(_beside_zero(torch.cat(heats)), torch.cat(targets), torch.cat(factors))

    def _examples(self, labels: torch.Tensor) -> dict[int, list[Box]]:
        """Boxes to learn from in `labels` (H, W), by class."""
        height, width = labels.shape
        objects = labelled_objects(labels)
        if not objects:
            kind = int(torch.randint(1, self.classes, ()))
            return {kind: [box_of(Rect(0, 0, height, width))]}
        boxes: dict[int, list[Box]] = {}
        for _ in range(_BOXES_PER_IMAGE):
            chosen = drawn(objects)
            top, left, bottom, right = jittered(box_of(chosen.rect), _OVERLAP)
            inside = max(top, 0.0), max(left, 0.0), min(bottom, float(height)), min(right, float(width))
            boxes.setdefault(chosen.kind, []).append(inside)
        return boxes

    def _at_cells(self, values: torch.Tensor, boxes: torch.Tensor, *, outside: int) -> torch.Tensor:
        """(B, 50, 50): the values of (H, W) nearest to the centres of the boxes' cells."""
        height, width = values.shape
        fractions = boxes / torch.tensor((height, width, height, width), device=boxes.device)
        shifted = (values - outside).float()[None, None]
        found = sampled(shifted, fractions, self.side, mode="nearest", padding="zeros")[:, 0]
        return found.to(values.dtype) + outside

    def parameter_groups(self, lr: float, weight_decay: float) -> list[dict[str, Any]]:
        """Scorers, that of fc7 at a tenth of the rate and decay; biases at twice the rate without decay."""
        maps = nn.ModuleList((self.score_pool3, self.score_pool4))
        groups = [
            parameter_group("map scorer weights", trainable(maps, bias=False), lr, weight_decay),
            parameter_group("map scorer biases", trainable(maps, bias=True), lr, 0.0, scale=2.0),
            parameter_group(
                "box scorer weights", trainable(self.score_fc7, bias=False), lr, 0.1 * weight_decay, scale=0.1
            ),
            parameter_group("box scorer biases", trainable(self.score_fc7, bias=True), lr, 0.0, scale=0.2),
        ]
        if self.options["freeze_trunk"]:
            return groups
        trunk = nn.ModuleList(m for name, m in self.named_children() if not name.startswith(self.head_prefixes))
        return [
            *groups,
            parameter_group("trunk weights", trainable(trunk, bias=False), lr, weight_decay),
            parameter_group("trunk biases", trainable(trunk, bias=True), lr, 0.0, scale=2.0),
        ]


def classifier_shares(side: int, device: torch.device | None = None) -> torch.Tensor:
    """(25, side, side): how much each of the 5 x 5 classifiers, row by row, has to say in each cell of a box."""
    alone = torch.eye(_GRID**2, device=device).view(1, -1, _GRID, _GRID)
    return F.interpolate(alone, size=(side, side), mode="bilinear", align_corners=False)[0]


def _looked_at(height: int, width: int) -> tuple[int, int]:
    """The size at which the trunk sees an image."""
    short, long = min(height, width), max(height, width)
    factor = min(_SHORT_SIDE_PX / short, _LONG_SIDE_PX / long, _MOST_ENLARGED)
    return max(1, round(height * factor)), max(1, round(width * factor))


def _box_weights(boxes: torch.Tensor) -> torch.Tensor:
    """(B, 1, 1): how much each box counts in the loss."""
    top, left, bottom, right = boxes.unbind(1)
    return ((bottom - top) * (right - left) / _FULL_WEIGHT_AREA).clamp(max=1).view(-1, 1, 1)


def _beside_zero(heat: torch.Tensor) -> torch.Tensor:
    """`heat` (B, n, h, w) after a channel of zeros."""
    return F.pad(heat, (0, 0, 0, 0, 1, 0))
