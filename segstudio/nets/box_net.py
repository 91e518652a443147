"""Networks that look at one box of an image at a time, on a grid of their own size."""

from __future__ import annotations

from abc import abstractmethod

import torch
import torch.nn.functional as F

from segstudio.nets.base import SegmentationNet


class BoxNet(SegmentationNet):
    """A network of two steps: `look` at the image once, then `box_scores` for any boxes in it.

    Without a box it takes the image as one; the predictor proposes more of them and joins their scores.

    Attributes:
        side: Cells per side of a box's score grid.
        one_class: Whether a box's scores are for one object of one class, which a person or `best_class` names.
    """

    side: int = 224
    one_class: bool = False

    @abstractmethod
    def look(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What `box_scores` needs to know of the image `x` (1, c, H, W): the heavy step, once for each image."""

    @abstractmethod
    def box_scores(self, seen: tuple[torch.Tensor, ...], boxes: torch.Tensor) -> torch.Tensor:
        """Logits (B, C, side, side) float32, each grid spread over its box.

        `boxes` is (B, 4) float32: top, left, bottom, right in pixels of the image, right and bottom exclusive; a box
        may reach beyond the image.
        """

    def native(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, C, side, side) float32 of whole images."""
        height, width = x.shape[-2:]
        whole = torch.tensor([[0.0, 0.0, height, width]], device=x.device)
        return torch.cat([self.box_scores(self.look(image), whole) for image in torch.split(x, 1)])

    def full_size(self, x: torch.Tensor) -> torch.Tensor:
        """`native` spread over the image."""
        return F.interpolate(self.native(x), size=x.shape[-2:], mode="bilinear", align_corners=False)
