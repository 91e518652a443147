"""U-Net (Ronneberger, Fischer, Brox, MICCAI 2015) as the paper draws it: unpadded convolutions, no normalisation.

572 px of input give 388 px of output: the outer 92 px are context. For a score of every pixel the image is mirrored at
its edges by as much (section 2, overlap-tile strategy).
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from segstudio.core.errors import ModelError
from segstudio.nets.base import ScoreMap, SegmentationNet
from segstudio.nets.blocks import ConvReLU

_MAX_WIDTH = 256
_GRID = 16
# Sides that pool evenly four times are 12 more than a multiple of 16: 188, 204, ... 572.
_REST = 12


class OriginalUNet(SegmentationNet):
    """U-Net with `width` channels at the first level, doubling at each of four more (figure 1).

    Dropout of single elements ends the two lowest levels of the contracting path. A skip connection is cropped at its
    centre and joined first, the upsampled map second.
    """

    family: ClassVar[str] = "unet-original"
    multiple = _GRID
    context = 92
    # Pooling cells reach up to 15 px further than the context.
    margin = context + _GRID
    head_prefixes = ("head.",)

    def __init__(self, *, classes: int, width: int = 64, channels: int = 3) -> None:
        if not isinstance(width, int) or not 1 <= width <= _MAX_WIDTH:
            raise ModelError(f"A U-Net's width must be 1 to {_MAX_WIDTH}, not {width}.", "Correct the card.")
        if channels not in (1, 3):
            raise ModelError(f"A U-Net takes 1 or 3 channels, not {channels}.", "Correct the card.")
        profile = "UNIT" if channels == 3 else "GRAY01"
        super().__init__(classes=classes, profile=profile, options={"width": width, "channels": channels})
        widths = [width << level for level in range(5)]
        self.down = nn.ModuleList(_twice(*pair) for pair in zip([channels, *widths], widths, strict=False))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in reversed(widths[:-1]))
        self.join = nn.ModuleList(_twice(2 * w, w) for w in reversed(widths[:-1]))
        self.head = nn.Conv2d(width, classes, 1)
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(0.5)
        # Of an image of 500 x 375, whose pixels the context doubles.
        self.pixel_bytes = 20 * width + 150
        self._initialise()

    def _initialise(self) -> None:
        """He initialisation: N(0, sqrt(2 / N)) for N numbers that come in, biases zero (section 3)."""
        for module in self.modules():
            if not isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                continue
            if isinstance(module, nn.ConvTranspose2d):
                # Each output pixel sees one input pixel: the windows do not overlap.
                nn.init.normal_(module.weight, std=(2 / module.in_channels) ** 0.5)
            else:
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            assert module.bias is not None
            nn.init.zeros_(module.bias)

    @property
    def channels(self) -> int:
        """The number of input channels, 1 or 3."""
        return int(self.options["channels"])

    def native(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, C, H - 184, W - 184) float32; the outer 92 px of `x` are only looked at."""
        height, width = (side - 2 * self.context for side in x.shape[-2:])
        bottom, right = ((_REST - side) % _GRID for side in x.shape[-2:])
        if bottom or right:
            x = F.pad(x, (0, right, 0, bottom), mode="reflect")
        skips = []
        for level, convolve in enumerate(self.down):
            x = convolve(x if level == 0 else self.pool(x))
            if level >= 3:
                x = self.dropout(x)
            skips.append(x)
        skips.pop()
        for grow, convolve in zip(self.up, self.join, strict=True):
            x = grow(x)
            x = convolve(torch.cat([_centre(skips.pop(), x.shape[-2:]), x], dim=1))
        out: torch.Tensor = self.head(x)
        return out[..., :height, :width].float()

    def training_outputs(self, x: torch.Tensor) -> tuple[ScoreMap, ...]:
        """The scores of everything but the context."""
        return (ScoreMap(self.native(x)),)


def _twice(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(ConvReLU(inputs, outputs, 3), ConvReLU(outputs, outputs, 3))


def _centre(x: torch.Tensor, size: torch.Size) -> torch.Tensor:
    top, left = ((have - want) // 2 for have, want in zip(x.shape[-2:], size, strict=True))
    return x[..., top : top + size[0], left : left + size[1]]
