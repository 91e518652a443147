"""Convolutions for prediction only: normalisation folded in, activation and residual sum fused, weights packed once."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import nn

# A network of three scales, and one size more.
_SIZES_KEPT: Final = 4
_LARGE_FILTER: Final = 5
_PACKABLE: Final = (torch.float32, torch.bfloat16)


@dataclass(frozen=True, slots=True)
class Folded:
    """The numbers of a convolution with the normalisation after it, in float32, and how it slides."""

    weight: torch.Tensor
    bias: torch.Tensor | None
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int


def can_fold(conv: nn.Module) -> bool:
    """Whether `folded` knows this layer: a convolution with zero padding given in numbers, or one that undoes such.

    Of the transposed ones, those whose stride is their size (upsampling without overlap), and 3 x 3 with stride 1.
    """
    if type(conv) is nn.ConvTranspose2d:
        plain = conv.groups == 1 and set(conv.dilation) == {1} and set(conv.output_padding) == {0}
        return plain and (_is_upsampling(conv) or (conv.kernel_size == (3, 3) and conv.stride == (1, 1)))
    return isinstance(conv, nn.Conv2d) and conv.padding_mode == "zeros" and not isinstance(conv.padding, str)


def upsampling_factor(conv: nn.Module) -> int:
    """By how much the output of `folded(conv)` is to be pixel-shuffled; 1 for ordinary convolutions."""
    return conv.stride[0] if isinstance(conv, nn.ConvTranspose2d) and _is_upsampling(conv) else 1


def _is_upsampling(conv: nn.ConvTranspose2d) -> bool:
    return conv.kernel_size == conv.stride and conv.stride[0] == conv.stride[1] > 1 and set(conv.padding) == {0}


@torch.no_grad()
def folded(
    conv: nn.Conv2d | nn.ConvTranspose2d, norm: nn.BatchNorm2d | None = None, *, release: bool = False
) -> Folded:
    """`conv` followed by `norm` in evaluation as one convolution in float32; its factors are computed in float64.

    With `release` the numbers of `conv` are used up.

    An upsampling transposed convolution becomes a 1 x 1 convolution to ``stride ** 2`` times the channels, a 3 x 3
    one of stride 1 the convolution with the filter turned over.
    """
    padding = conv.padding
    assert not isinstance(padding, str)
    how = ((conv.stride[0], conv.stride[1]), (padding[0], padding[1]), (conv.dilation[0], conv.dilation[1]))
    weight, bias = conv.weight.detach(), None if conv.bias is None else conv.bias.detach()
    if isinstance(conv, nn.ConvTranspose2d):
        weight = weight.transpose(0, 1)
    if norm is not None:
        weight, bias = _normalised(weight, bias, norm, release=release)
    if upsampling_factor(conv) > 1:
        factor = conv.stride[0]
        spread = weight.permute(0, 2, 3, 1).reshape(-1, weight.shape[1], 1, 1)
        return Folded(spread, None if bias is None else bias.repeat_interleave(factor**2), (1, 1), (0, 0), (1, 1), 1)
    if isinstance(conv, nn.ConvTranspose2d):
        return Folded(weight.flip(2, 3), bias, (1, 1), (2 - padding[0], 2 - padding[1]), (1, 1), 1)
    return Folded(weight, bias, *how, conv.groups)


def _normalised(
    weight: torch.Tensor, bias: torch.Tensor | None, norm: nn.BatchNorm2d, *, release: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """`weight` (outputs, inputs, h, w) and bias that give what the normalisation would make of the old ones."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.double()
    shift = (0.0 if bias is None else bias.double()) - norm.running_mean.double()
    full = shift * scale + (0.0 if norm.bias is None else norm.bias.double())
    # Not the product: with DeconvNet's largest layer it would take 1.6 GB.
    factor = scale.float().view(-1, 1, 1, 1)
    return weight.mul_(factor) if release else weight * factor, full.float()


class FusedConv(nn.Module):
    """A convolution, plus a summand if there is one, then ReLU where `relu`; output in `dtype`."""

    weight: torch.Tensor
    bias: torch.Tensor | None

    def __init__(self, what: Folded, *, relu: bool, dtype: torch.dtype) -> None:
        super().__init__()
        self.relu = relu
        self.dtype = dtype
        self.how = what
        self.register_buffer("bias", None if what.bias is None else what.bias.to(dtype))
        self.register_buffer("weight", self.prepared(what.weight.to(dtype)))
        # The numbers live in the buffers now; keeping `what`'s tensors would hold them twice.
        self.how = Folded(torch.empty(0), None, what.stride, what.padding, what.dilation, what.groups)

    def prepared(self, weight: torch.Tensor) -> torch.Tensor:
        """The weight as this convolution wants to find it."""
        return weight.contiguous(memory_format=torch.channels_last)

    def forward(self, x: torch.Tensor, summand: torch.Tensor | None = None) -> torch.Tensor:
        """(N, outputs, h, w) in `dtype` for `x` of any floating dtype."""
        how = self.how
        y = F.conv2d(x.to(self.dtype), self.weight, self.bias, how.stride, how.padding, how.dilation, how.groups)
        if summand is not None:
            y += summand
        return y.relu_() if self.relu else y


class PackedConv(FusedConv):
    """The same on a CPU through oneDNN, whose blocked weight is made once for each size of input.

    Which block fits depends on the size; a weight in another one would be brought into order at every call, which for
    1 x 1 convolutions takes longer than the convolution. Making one takes a few milliseconds.
    """

    def __init__(self, what: Folded, *, relu: bool, dtype: torch.dtype) -> None:
        super().__init__(what, relu=relu, dtype=dtype)
        self._packed: OrderedDict[torch.Size, torch.Tensor] = OrderedDict()

    def forward(self, x: torch.Tensor, summand: torch.Tensor | None = None) -> torch.Tensor:
        """(N, outputs, h, w) in `dtype`, channels last."""
        how = self.how
        x = x.to(self.dtype).contiguous(memory_format=torch.channels_last)
        weight = self._packed_for(x.shape)
        geometry = (how.padding, how.stride, how.dilation, how.groups)
        y: torch.Tensor
        if summand is None:
            attr = "relu" if self.relu else "none"
            y = torch.ops.mkldnn._convolution_pointwise(x, weight, self.bias, *geometry, attr, [], "")
        else:
            after = "relu" if self.relu else None
            y = torch.ops.mkldnn._convolution_pointwise.binary(
                x, summand.to(self.dtype), weight, self.bias, *geometry, "add", None, after, [], None
            )
        return y

    def _packed_for(self, size: torch.Size) -> torch.Tensor:
        packed = self._packed.get(size)
        if packed is None:
            how = self.how
            packed = torch.ops.mkldnn._reorder_convolution_weight(
                self.weight, how.padding, how.stride, how.dilation, how.groups, list(size)
            )
            self._packed[size] = packed
            if len(self._packed) > _SIZES_KEPT:
                self._packed.popitem(last=False)
        return packed


class UnfoldedConv(FusedConv):
    """A fused convolution without padding as one matrix product: for filters as large as VGG's fc6, 7 x 7 x 512."""

    def prepared(self, weight: torch.Tensor) -> torch.Tensor:
        """(outputs, rows * columns * inputs), in the order in which channels-last pixels lie."""
        return weight.permute(0, 2, 3, 1).flatten(1).contiguous()

    def forward(self, x: torch.Tensor, summand: torch.Tensor | None = None) -> torch.Tensor:
        """(N, outputs, h, w) in `dtype`, channels last."""
        pixels = x.to(self.dtype).permute(0, 2, 3, 1).contiguous()
        count, height, width, channels = pixels.shape
        side = math.isqrt(self.weight.shape[1] // channels)
        image, row, column, _ = pixels.stride()
        windows = pixels.as_strided(
            (count, height - side + 1, width - side + 1, side, side * channels), (image, row, column, row, 1)
        )
        y = F.linear(windows.flatten(3), self.weight, self.bias)
        if summand is not None:
            y += summand.permute(0, 2, 3, 1)
        return (y.relu_() if self.relu else y).permute(0, 3, 1, 2)


def unfolds(what: Folded) -> bool:
    """Whether a convolution is of the kind `UnfoldedConv` is faster for."""
    rows, columns = what.weight.shape[2:]
    plain = what.stride == what.dilation == (1, 1) and what.padding == (0, 0) and what.groups == 1
    return plain and rows == columns >= _LARGE_FILTER


def packs(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether `PackedConv` works here: oneDNN is there and takes our calls."""
    if device.type != "cpu" or dtype not in _PACKABLE or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return _packing_works(dtype)


def _packing_works(dtype: torch.dtype) -> bool:
    known = _WORKS.get(dtype)
    if known is None:
        known = _WORKS[dtype] = _try_packing(dtype)
    return known


_WORKS: Final[dict[torch.dtype, bool]] = {}


def _try_packing(dtype: torch.dtype) -> bool:
    """Compares a small packed convolution with a plain one: the operators are torch's own, not its public interface."""
    conv = nn.Conv2d(3, 8, 3, padding=1)
    x = torch.linspace(-1, 1, 3 * 36).view(1, 3, 6, 6)
    try:
        with torch.inference_mode():
            want = FusedConv(folded(conv), relu=True, dtype=torch.float32)(x, torch.ones(1, 8, 6, 6))
            got = PackedConv(folded(conv), relu=True, dtype=dtype)(x, torch.ones(1, 8, 6, 6))
    except (RuntimeError, AttributeError, TypeError):
        return False
    return bool((got.float() - want).abs().max() < 0.05)
