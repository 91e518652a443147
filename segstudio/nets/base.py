"""What every network owes: logits at input size for any input size, its recipe's loss and its parameter groups."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from segstudio.core.errors import ModelError
from segstudio.nets.card import ModelCard
from segstudio.nets.losses import IGNORE, Reduction, masked_cross_entropy
from segstudio.nets.preprocess import preprocess
from segstudio.nets.registry_names import OptionValue

Origin = Literal["checkpoint", "imagenet", "random"]
MAX_CLASSES: Final = 255


@dataclass(frozen=True, slots=True)
class Loaded:
    """Where a network's numbers come from, and a sentence for the person (empty where nothing is to be said)."""

    trunk: Origin = "random"
    head: Origin = "random"
    note: str = ""


@dataclass(frozen=True, slots=True)
class ScoreMap:
    """One output with its own loss: `logits` (N, C, h, w) meet the labels taken at every `step`-th pixel.

    `centred` says that a score's cell is the middle of its label block instead of the block's first pixel; `weight`
    is the share of this output's loss in the sum.
    """

    logits: torch.Tensor
    step: int = 1
    centred: bool = False
    weight: float = 1.0


class SegmentationNet(nn.Module, ABC):
    """A network that gives each pixel a score per class.

    Attributes:
        family: Its name in the registry.
        classes: The number of output channels.
        class_names: Their names, where a checkpoint told them.
        stride: Input pixels per cell of `native`.
        multiple: Tiles must begin at multiples of this, so that a tile's grid is the whole image's grid.
        margin: Context in pixels that a tile needs on each side.
        context: Pixels on each side of its input that `native` only looks at and gives no score for (unpadded
            convolutions); `forward` mirrors the image by as much.
        minimum: Smaller inputs are replicated up to this side length first.
        head_prefixes: Modules whose shape depends on the classes.
        imagenet: The torchvision weight the trunk can start from.
        pixel_bytes: Working memory per input pixel in float32, measured, without the outputs.
        reduction: Whether a pixel's loss is divided by the number of usable pixels or of images.
    """

    family: ClassVar[str]
    stride: int = 1
    multiple: int = 1
    margin: int = 0
    context: int = 0
    minimum: int = 1
    head_prefixes: tuple[str, ...] = ()
    imagenet: str | None = None

    def __init__(self, *, classes: int, profile: str, options: Mapping[str, OptionValue]) -> None:
        super().__init__()
        if not isinstance(classes, int) or not 2 <= classes <= MAX_CLASSES:
            raise ModelError(f"A network needs 2 to {MAX_CLASSES} classes, not {classes}.", "Change the class list.")
        self.classes = classes
        self.options: dict[str, OptionValue] = dict(options)
        self.loaded = Loaded()
        self.card = ModelCard(
            id=self.family, family=self.family, title=self.family, options=self.options, preprocessing=profile
        )
        self.class_names: tuple[str, ...] = ()
        self.pixel_bytes = 1024
        self.reduction: Reduction = "pixels"
        self._still: tuple[nn.BatchNorm2d, ...] = ()

    @property
    def channels(self) -> int:
        """The number of input channels."""
        return 3

    def preprocess(self, image: npt.NDArray[np.uint8]) -> torch.Tensor:
        """The input (1, c, H, W) float32 on the CPU for an image (H, W, 3) uint8 RGB."""
        return preprocess(image, self.card.preprocessing)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, C, H, W) float32 at input size, for `x` (N, c, H, W) preprocessed, of any size from 1 x 1 up."""
        height, width = x.shape[-2:]
        return self.full_size(grown_to(x, self.minimum))[..., :height, :width]

    @abstractmethod
    def native(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, C, h, w) float32 at the network's own output stride; `x` at least `minimum` on each side."""

    def full_size(self, x: torch.Tensor) -> torch.Tensor:
        """`native` brought to the size of `x` the way the paper does."""
        return self.native(mirrored(x, self.context))

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001, FBT002 - the signature of nn.Module
        """Switches to training; normalisation that was frozen stays as it is."""
        super().train(mode)
        for norm in self._still:
            norm.training = False
        return self

    def freeze_batch_norm(self, part: nn.Module | None = None) -> None:
        """Fixes statistics, scale and shift of all batch normalisation in `part` (everything where None) for good."""
        found = [m for m in (part or self).modules() if isinstance(m, nn.BatchNorm2d)]
        for norm in found:
            norm.requires_grad_(requires_grad=False)
        self._still = tuple({*self._still, *found})
        self.train(self.training)

    def begin_step(self, fraction: float) -> None:
        """Called before each training step with the share of the run that is over, 0..1, for recipes in stages."""

    def training_outputs(self, x: torch.Tensor) -> tuple[ScoreMap, ...]:
        """The outputs the recipe has losses for."""
        return (ScoreMap(self.full_size(x)),)

    def training_loss(self, x: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
        """The recipe's loss, a scalar.

        `x` is (N, c, H, W), `labels` (N, H, W) integer with 255 = do not learn here, `weights` (N, H, W) float32 the
        factor of each pixel, 1 where None. A network with `context` takes `x` that much larger on each side; one as
        large as its labels is mirrored.
        """
        if x.shape[-2:] == labels.shape[-2:]:
            x = mirrored(x, self.context)
        grown = grown_to(x, self.minimum)
        bottom, right = grown.shape[-2] - x.shape[-2], grown.shape[-1] - x.shape[-1]
        labels = F.pad(labels, (0, right, 0, bottom), value=IGNORE)
        if weights is not None:
            weights = F.pad(weights, (0, right, 0, bottom))
        losses = []
        for out in self.training_outputs(grown):
            shrunk = None if weights is None else shrunk_labels(weights, out.step, centred=out.centred)
            losses.append(
                out.weight * self.score_loss(out.logits, shrunk_labels(labels, out.step, centred=out.centred), shrunk)
            )
        return torch.stack(losses).sum()

    def score_loss(
        self, logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The loss of one output against labels (and weights) of the same size."""
        return masked_cross_entropy(logits, labels, weights, reduction=self.reduction)

    def load_imagenet(self, state: Mapping[str, torch.Tensor]) -> None:
        """Fills the trunk with the tensors of the torchvision weight `imagenet`."""
        raise ModelError(f"The network {self.card.id} has no ImageNet trunk.", "Leave the weights out.")

    def load_stage(self, state: Mapping[str, torch.Tensor], options: Mapping[str, OptionValue]) -> None:
        """Takes over the layers of the stage before; `state` and `options` are those of its checkpoint."""
        raise ModelError(f"The network {self.card.id} is not trained in stages.", "Train it from the start.")

    def parameter_groups(self, lr: float, weight_decay: float) -> list[dict[str, Any]]:
        """Optimiser groups with the published multipliers; each also says its `lr_scale`, for schedules."""
        return [parameter_group("all", trainable(self), lr, weight_decay)]


def parameter_group(
    name: str, parameters: list[nn.Parameter], lr: float, weight_decay: float, *, scale: float = 1.0
) -> dict[str, Any]:
    """One optimiser group whose learning rate is `lr` times `scale`."""
    return {"name": name, "params": parameters, "lr": lr * scale, "lr_scale": scale, "weight_decay": weight_decay}


def trainable(module: nn.Module, *, bias: bool | None = None) -> list[nn.Parameter]:
    """The parameters that learn: all, only biases, or all but biases."""
    return [
        parameter
        for name, parameter in module.named_parameters()
        if parameter.requires_grad and (bias is None or name.endswith("bias") == bias)
    ]


def grown_to(x: torch.Tensor, minimum: int) -> torch.Tensor:
    """`x` (N, c, H, W) with its last row and column repeated until both sides reach `minimum`."""
    bottom, right = max(0, minimum - x.shape[-2]), max(0, minimum - x.shape[-1])
    return F.pad(x, (0, right, 0, bottom), mode="replicate") if bottom or right else x


def mirrored(x: torch.Tensor, width: int) -> torch.Tensor:
    """`x` (N, c, H, W) with `width` px more on each side, reflected as often as needed; edges are not repeated."""
    if width == 0:
        return x
    for dim in (-2, -1):
        last = x.shape[dim] - 1
        place = torch.arange(-width, last + 1 + width, device=x.device).remainder(max(2 * last, 1))
        x = x.index_select(dim, torch.minimum(place, 2 * last - place))
    return x


def shrunk_labels(labels: torch.Tensor, step: int, *, centred: bool = False) -> torch.Tensor:
    """Every `step`-th label of (N, H, W): sizes become ceil(H / step); no class is ever blended.

    Starts with the first pixel, or near the middle of each block where `centred`.
    """
    if step == 1:
        return labels
    if not centred:
        return labels[..., ::step, ::step]
    rows, columns = (
        torch.arange((step - 1) // 2, side + step, step, device=labels.device)[: -(-side // step)].clamp(max=side - 1)
        for side in labels.shape[-2:]
    )
    return labels[..., rows[:, None], columns[None, :]]
