"""From an image to a network's input: the profiles the published weights were trained with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

_IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
_IMAGENET_STD: Final = (0.229, 0.224, 0.225)
# Rec. 601 luma, as Pillow and OpenCV turn colour into grey.
_LUMA: Final = (0.299, 0.587, 0.114)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How a pixel 0-255 becomes a number: ``(value / range - mean) / std`` in channel order `order`."""

    order: str = "RGB"
    range: float = 1.0
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)

    @property
    def channels(self) -> int:
        return 1 if self.order == "GRAY" else 3

    def affine(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """(scale, offset), each of length 3 in R, G, B order, with ``value * scale + offset`` the network's number."""
        std = np.asarray(self.std, np.float64)
        scale, offset = 1 / (self.range * std), -np.asarray(self.mean, np.float64) / std
        return (scale[::-1], offset[::-1]) if self.order == "BGR" else (scale, offset)


PROFILES: Final[dict[str, Profile]] = {
    "CAFFE-FCN": Profile(order="BGR", mean=(104.00698793, 116.66876762, 122.67891434)),
    "CAFFE-CTX": Profile(order="BGR", mean=(104.007, 116.669, 122.679)),
    "CAFFE-DL": Profile(order="BGR", mean=(104.008, 116.669, 122.675)),
    "CAFFE-FRCN": Profile(order="BGR", mean=(102.9801, 115.9465, 122.7717)),
    "TV": Profile(range=255.0, mean=_IMAGENET_MEAN, std=_IMAGENET_STD),
    "TV-VGGFEAT": Profile(range=255.0, mean=(0.48235, 0.45882, 0.40784), std=(1 / 255, 1 / 255, 1 / 255)),
    # Always divided by 255: deciding by the image's own maximum would make dark images brighter.
    "UNIT": Profile(range=255.0),
    "GRAY01": Profile(order="GRAY", range=255.0, mean=(0.0,), std=(1.0,)),
}


def preprocess(image: npt.NDArray[np.uint8], profile: str) -> torch.Tensor:
    """The network's input (1, c, H, W) float32 for an image (H, W, 3) uint8 RGB.

    Raises:
        ValueError: `image` is not (H, W, 3) uint8 with at least one pixel.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"expected an image (H, W, 3) uint8, got {image.shape} {image.dtype}")
    how = PROFILES[profile]
    # A copy: negative strides and read-only memory are nothing torch can share.
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).to(torch.float32)
    if how.order == "GRAY":
        pixels = (pixels * torch.tensor(_LUMA).view(3, 1, 1)).sum(0, keepdim=True)
    elif how.order == "BGR":
        pixels = pixels.flip(0)
    mean, std = (torch.tensor(item, dtype=torch.float32).view(-1, 1, 1) for item in (how.mean, how.std))
    return pixels.div_(how.range).sub_(mean).div_(std).unsqueeze(0)


def convert_first_layer(weight: torch.Tensor, *, source: str, target: str) -> tuple[torch.Tensor, torch.Tensor]:
    """(weight, shift) of a first convolution trained on profile `source`, for inputs of profile `target`.

    `weight` is (K, 3, h, w). ``conv(x_target, new) + shift`` equals ``conv(x_source, weight)`` wherever the kernel
    lies inside the image; at the border the two profiles' zero padding stands for slightly different colours.
    """
    scale_from, offset_from = PROFILES[source].affine()
    scale_to, offset_to = PROFILES[target].affine()
    scale = torch.from_numpy(scale_from / scale_to).to(weight.dtype).view(1, 3, 1, 1)
    offset = torch.from_numpy(offset_from - offset_to * scale_from / scale_to).to(weight.dtype).view(1, 3, 1, 1)
    rgb = weight.flip(1) if PROFILES[source].order == "BGR" else weight
    shift = (rgb * offset).sum(dim=(1, 2, 3))
    new = rgb * scale
    return (new.flip(1) if PROFILES[target].order == "BGR" else new), shift
