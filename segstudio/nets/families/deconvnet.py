"""DeconvNet (Noh, Hong, Han: Learning Deconvolution Network for Semantic Segmentation. ICCV 2015).

VGG-16 with batch normalisation down to one cell, then its mirror image back up: each unpooling puts values where the
pool of the same level found its maxima, and deconvolutions fill the space between. The grid is fixed: every box is
resized to 224 x 224 (section 3).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import torch
import torch.nn.functional as F
from torch import nn

from segstudio.core.geometry import Rect
from segstudio.nets.backbones.vgg16 import (
    CONVOLUTIONS,
    FULLY_CONNECTED,
    initialise_convolutions,
    load_convolutions,
    run_block,
    thinned,
)
from segstudio.nets.base import parameter_group, trainable
from segstudio.nets.blocks import PooledBatchNorm2d
from segstudio.nets.box_net import BoxNet, cut, whole_pixels
from segstudio.nets.losses import IGNORE, usable_labels
from segstudio.nets.object_boxes import Box, box_of, drawn, enlarged, jittered, labelled_objects

_DECONVOLUTIONS: Final[Mapping[int, tuple[int, ...]]] = {
    5: (512, 512, 512),
    4: (512, 512, 256),
    3: (256, 256, 128),
    2: (128, 64),
    1: (64, 64),
}
"""Outputs of the deconvolutions after each unpooling."""

_STD: Final = 0.01
_SHIFT: Final = 0.001
_EPSILON: Final = 1e-9
# Training examples are resized to this side, then a crop of the network's side is drawn (section 4.1).
_EXAMPLE_SIDE: Final = 250
_FIRST_STAGE: Final = 1 / 3
_OVERLAP: Final = 0.5
# Below this a box would show a handful of blown-up pixels.
_SMALLEST_BOX_PX: Final = 16
# What 50 boxes at once would need is several GB.
_BOXES_AT_ONCE: Final = 2


class DeconvNet(BoxNet):
    """DeconvNet; `native` scores the whole image, resized to 224 x 224.

    Training has two stages (section 4.1): in the first third of a run a box holds one centred object, and all other
    classes count as background; then boxes only overlap an object, and all classes count. `begin_step` changes over.
    """

    family: ClassVar[str] = "deconvnet"
    side = 224
    enlargement = 1.2
    head_prefixes = ("seg_score.",)
    imagenet: str | None = "VGG16_Weights.IMAGENET1K_V1"

    def __init__(self, *, classes: int, thin: int = 1) -> None:
        super().__init__(classes=classes, profile="CAFFE-FCN", options={"thin": thin})
        if thin != 1:
            self.imagenet = None
        for name, (inputs, outputs) in CONVOLUTIONS.items():
            self.add_module(name, _unit(nn.Conv2d(thinned(inputs, thin), thinned(outputs, thin), 3, padding=1)))
        wide, width = thinned(4096, thin), thinned(512, thin)
        self.fc6 = _unit(nn.Conv2d(width, wide, 7), pooled=True)
        self.fc7 = _unit(nn.Conv2d(wide, wide, 1), pooled=True)
        self.fc6_deconv = _unit(_FromOneCell(wide, width, 7))
        for block, widths in _DECONVOLUTIONS.items():
            for index, outputs in enumerate(widths, start=1):
                deconv = nn.ConvTranspose2d(width, thinned(outputs, thin), 3, padding=1)
                self.add_module(f"deconv{block}_{index}", _unit(deconv))
                width = deconv.out_channels
        self.seg_score = nn.Conv2d(width, classes, 1)
        self.pool = nn.MaxPool2d(2, return_indices=True)
        self.unpool = nn.MaxUnpool2d(2)
        self._initialise()
        # Two boxes of 158 MiB each, over the pixels of an image of 500 x 375.
        self.pixel_bytes = 1700
        self._single_objects = True

    def _initialise(self) -> None:
        """He for VGG's part where ImageNet does not fill it, N(0, 0.01 ** 2) for the mirror image and the scorer."""
        initialise_convolutions(self)
        for module in self.modules():
            if isinstance(module, nn.ConvTranspose2d) or module is self.seg_score:
                assert isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
                nn.init.normal_(module.weight, std=_STD)
                assert module.bias is not None
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.constant_(module.bias, _SHIFT)

    def look(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The image itself: each box goes through the whole network."""
        return (x,)

    def box_scores(self, seen: tuple[torch.Tensor, ...], boxes: torch.Tensor) -> torch.Tensor:
        """Logits (B, C, 224, 224) float32 of boxes, which are rounded to whole pixels.

        Outside the image there is the mean colour.
        """
        rects = [whole_pixels(box) for box in boxes.tolist()]
        scores = []
        for start in range(0, len(rects), _BOXES_AT_ONCE):
            some = rects[start : start + _BOXES_AT_ONCE]
            scores.append(self._scores(torch.cat([_resized(cut(seen[0], rect), self.side) for rect in some])))
        return torch.cat(scores)

    def native(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, C, 224, 224) float32 of whole images."""
        return self._scores(_resized(x, self.side))

    def _scores(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, C, 224, 224) float32 for `x` (N, 3, 224, 224)."""
        places = []
        for block in range(1, 6):
            x, place = self.pool(run_block(self, x, block))
            places.append(place)
        x = self.fc6_deconv(self.fc7(self.fc6(x)))
        for block, widths in _DECONVOLUTIONS.items():
            x = self.unpool(x, places.pop())
            for index in range(1, len(widths) + 1):
                x = self.get_submodule(f"deconv{block}_{index}")(x)
        out: torch.Tensor = self.seg_score(x)
        return out.float()

    def begin_step(self, fraction: float) -> None:
        """Changes from the first stage to the second when a third of the run is over (20,000 of 60,000 steps)."""
        self._single_objects = fraction < _FIRST_STAGE

    def training_loss(self, x: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
        """Cross-entropy over one box of each image, a scalar; arguments as for every network.

        A box holds an object of a class drawn first, or the whole image where there is none. It is resized to 250 x
        250, of which 224 x 224 are drawn and mirrored half of the time.
        """
        labels = usable_labels(labels, self.classes)
        pictures, targets, factors = [], [], []
        for index, image in enumerate(x):
            box, target = self._example(labels[index])
            view = _View(self.side)
            pictures.append(view(_resized(cut(image, whole_pixels(box)).unsqueeze(0), _EXAMPLE_SIDE)))
            targets.append(view(_nearest(cut(target, whole_pixels(box), fill=IGNORE), _EXAMPLE_SIDE)))
            if weights is not None:
                factors.append(view(_nearest(cut(weights[index], whole_pixels(box)), _EXAMPLE_SIDE)))
        factor = torch.cat(factors) if factors else None
        return self.score_loss(self._scores(torch.cat(pictures)), torch.cat(targets), factor)

    def _example(self, labels: torch.Tensor) -> tuple[Box, torch.Tensor]:
        """A box, and the labels (H, W) that count in it."""
        objects = labelled_objects(labels)
        if not objects:
            return box_of(Rect.of_shape(tuple(labels.shape))), labels
        chosen = drawn(objects)
        box = box_of(chosen.rect)
        if self._single_objects:
            labels = labels.where((labels == chosen.kind) | (labels == IGNORE), 0)
        else:
            box = jittered(box, _OVERLAP)
        return enlarged(box, self.enlargement, least=_SMALLEST_BOX_PX), labels

    def parameter_groups(self, lr: float, weight_decay: float) -> list[dict[str, Any]]:
        """Weights and all of normalisation; biases of convolutions at twice the rate without decay."""
        layers = [m for m in self.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
        biases = [bias for layer in layers for bias in trainable(layer, bias=True)]
        apart = {id(bias) for bias in biases}
        rest = [parameter for parameter in trainable(self) if id(parameter) not in apart]
        return [
            parameter_group("weights", rest, lr, weight_decay),
            parameter_group("biases", biases, lr, 0.0, scale=2.0),
        ]

    def load_imagenet(self, state: Mapping[str, torch.Tensor]) -> None:
        """Takes torchvision's VGG-16 as the convolutional half, fc6 and fc7 included."""
        convolutions = {name: self._convolution(name) for name in (*CONVOLUTIONS, *FULLY_CONNECTED)}
        load_convolutions(nn.ModuleDict(convolutions), state, self.card.preprocessing)
        with torch.no_grad():
            for name, place in FULLY_CONNECTED.items():
                layer = convolutions[name]
                layer.weight.copy_(state[f"{place}.weight"].view_as(layer.weight))
                assert layer.bias is not None
                layer.bias.copy_(state[f"{place}.bias"])

    def _convolution(self, name: str) -> nn.Conv2d:
        unit = self.get_submodule(name)
        assert isinstance(unit, nn.Sequential)
        assert isinstance(unit[0], nn.Conv2d)
        return unit[0]


class _FromOneCell(nn.ConvTranspose2d):
    """A deconvolution of a single cell is one matrix product, for which its 400 MB need not be brought into order."""

    def forward(self, x: torch.Tensor, output_size: list[int] | None = None) -> torch.Tensor:
        """(N, outputs, rows, columns) of the filter's size for `x` (N, inputs, 1, 1)."""
        if x.shape[-2:] != (1, 1) or self.bias is None:
            return super().forward(x, output_size)
        grid = (x.flatten(1) @ self.weight.flatten(1)).view(-1, *self.weight.shape[1:])
        return grid + self.bias.view(1, -1, 1, 1)


class _View:
    """One crop at a random place, mirrored or not, the same for all that it is shown."""

    def __init__(self, side: int) -> None:
        self._side = side
        self._top, self._left = torch.randint(_EXAMPLE_SIDE - side + 1, (2,)).tolist()
        self._mirrored = bool(torch.rand(()) < 0.5)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """(..., side, side) of `x` (..., 250, 250)."""
        x = x[..., self._top : self._top + self._side, self._left : self._left + self._side]
        return x.flip(-1) if self._mirrored else x


def _unit(layer: nn.Conv2d | nn.ConvTranspose2d, *, pooled: bool = False) -> nn.Sequential:
    """The layer, batch normalisation and ReLU, numbered 0 to 2."""
    norm = PooledBatchNorm2d if pooled else nn.BatchNorm2d
    return nn.Sequential(layer, norm(layer.out_channels, eps=_EPSILON), nn.ReLU(inplace=True))


def _resized(x: torch.Tensor, side: int) -> torch.Tensor:
    """`x` (N, c, h, w) at `side` x `side`; shrinking averages over what a pixel stands for, as the release's does."""
    return F.interpolate(x, size=(side, side), mode="bilinear", align_corners=False, antialias=True)


def _nearest(x: torch.Tensor, side: int) -> torch.Tensor:
    """(1, side, side) for `x` (h, w): the value nearest to the centre of each new pixel, none of them blended."""
    out = F.interpolate(x[None, None].float(), size=(side, side), mode="nearest-exact")
    return out[0].to(x.dtype)
