"""U-Net (Ronneberger, Fischer, Brox, MICCAI 2015) in its same-padded form with batch normalisation.

Widths 64 to 1024 as in the paper; padding keeps the size, so that any image gives a label map of its own size.
Module names and shapes are those of the widely used PyTorch implementation, whose checkpoints therefore load.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from segstudio.core.errors import ModelError
from segstudio.nets.base import SegmentationNet
from segstudio.nets.losses import masked_cross_entropy, masked_dice
from segstudio.nets.registry_names import OptionValue

_MAX_WIDTH = 256


class DoubleConv(nn.Module):
    """Twice a 3 x 3 convolution, batch normalisation and ReLU, with `between` channels after the first."""

    def __init__(self, inputs: int, outputs: int, between: int | None = None) -> None:
        super().__init__()
        between = between or outputs
        self.double_conv = nn.Sequential(
            nn.Conv2d(inputs, between, 3, padding=1, bias=False),
            nn.BatchNorm2d(between),
            nn.ReLU(inplace=True),
            nn.Conv2d(between, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, outputs, H, W)."""
        out: torch.Tensor = self.double_conv(x)
        return out


class Down(nn.Module):
    """Halves the size, then convolves twice."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), DoubleConv(inputs, outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, outputs, H // 2, W // 2)."""
        out: torch.Tensor = self.maxpool_conv(x)
        return out


class Up(nn.Module):
    """Doubles the size by an up-convolution or bilinearly, joins the skip connection, then convolves twice.

    `inputs` counts both parts after joining. An up-convolution halves the channels it is given; bilinear upsampling
    keeps them, so that half as many must come from below.
    """

    def __init__(self, inputs: int, outputs: int, *, bilinear: bool) -> None:
        super().__init__()
        if bilinear:
            self.up: nn.Module = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        else:
            self.up = nn.ConvTranspose2d(inputs, inputs // 2, 2, stride=2)
        self.conv = DoubleConv(inputs, outputs, inputs // 2 if bilinear else None)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """(N, outputs, H, W) at the size of `skip`."""
        x = self.up(x)
        rows, columns = skip.shape[-2] - x.shape[-2], skip.shape[-1] - x.shape[-1]
        if rows or columns:
            x = F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
        out: torch.Tensor = self.conv(torch.cat([skip, x], dim=1))
        return out


class UNet(SegmentationNet):
    """U-Net with `width` channels at full resolution, doubling at each of four levels.

    With `bilinear`, upsampling is bilinear (corner pixels meet) instead of learnt, and the levels below and beside it
    have half the channels.
    """

    family: ClassVar[str] = "unet"
    multiple = 16
    # 92 px of receptive field on each side, and up to 15 px by which pooling cells reach further.
    margin = 112
    # Below 32 px the deepest level is a single pixel, of which batch normalisation can learn nothing.
    minimum = 32
    head_prefixes = ("outc.",)

    def __init__(self, *, classes: int, width: int = 64, channels: int = 3, bilinear: bool = False) -> None:
        if not isinstance(width, int) or not 1 <= width <= _MAX_WIDTH:
            raise ModelError(f"A U-Net's width must be 1 to {_MAX_WIDTH}, not {width}.", "Correct the card.")
        if channels not in (1, 3):
            raise ModelError(f"A U-Net takes 1 or 3 channels, not {channels}.", "Correct the card.")
        options: dict[str, OptionValue] = {"width": width, "channels": channels, "bilinear": bilinear}
        super().__init__(classes=classes, profile="UNIT" if channels == 3 else "GRAY01", options=options)
        self.inc = DoubleConv(channels, width)
        self.down1 = Down(width, width * 2)
        self.down2 = Down(width * 2, width * 4)
        self.down3 = Down(width * 4, width * 8)
        share = 2 if bilinear else 1
        self.down4 = Down(width * 8, width * 16 // share)
        self.up1 = Up(width * 16, width * 8 // share, bilinear=bilinear)
        self.up2 = Up(width * 8, width * 4 // share, bilinear=bilinear)
        self.up3 = Up(width * 4, width * 2 // share, bilinear=bilinear)
        self.up4 = Up(width * 2, width, bilinear=bilinear)
        self.outc = nn.ModuleDict({"conv": nn.Conv2d(width, classes, 1)})
        self.pixel_bytes = 36 * width + 150
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    @property
    def channels(self) -> int:
        """The number of input channels, 1 or 3."""
        return int(self.options["channels"])

    def native(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, C, H, W) float32; the network's own stride is 1."""
        x1 = self.inc(x)
        x2 = self.down1(x1)
        x3 = self.down2(x2)
        x4 = self.down3(x3)
        y = self.up1(self.down4(x4), x4)
        y = self.up2(y, x3)
        y = self.up3(y, x2)
        y = self.up4(y, x1)
        out: torch.Tensor = self.outc["conv"](y)
        return out.float()

    def score_loss(
        self, logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Cross-entropy plus 1 - Dice, both over usable pixels only."""
        return masked_cross_entropy(logits, labels, weights) + masked_dice(logits, labels)
