"""Fixed bilinear upsampling as a transposed convolution, which fades to zero at the border (unlike interpolation)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from segstudio.nets.blocks import full_precision


def bilinear_filter(size: int) -> torch.Tensor:
    """The (size, size) float32 kernel whose taps fall linearly from the centre."""
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 else factor - 0.5
    taps = 1 - (torch.arange(size) - centre).abs() / factor
    return torch.outer(taps, taps)


def bilinear_deconv(x: torch.Tensor, size: int, *, stride: int) -> torch.Tensor:
    """`x` (N, C, h, w) upsampled to (N, C, (h - 1) * stride + size, ...) in its own precision, with no weight kept."""
    kernel = bilinear_filter(size).to(x.device)
    return _by_channel(x, kernel.expand(x.shape[1], 1, size, size), stride)


class BilinearDeconv(nn.Module):
    """Upsamples each channel by itself; the weight (C, C, k, k) is dense as published, and never learns.

    The diagonal alone is computed unless a checkpoint brought something off the diagonal.
    """

    weight: nn.Parameter

    def __init__(self, channels: int, size: int, *, stride: int) -> None:
        super().__init__()
        weight = torch.zeros(channels, channels, size, size)
        every = torch.arange(channels)
        weight[every, every] = bilinear_filter(size)
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.stride = stride
        self.mixes_channels = False
        self.register_load_state_dict_post_hook(_look_at_weight)  # type: ignore[no-untyped-call]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, (h - 1) * stride + k, (w - 1) * stride + k) in the precision of `x`."""
        if self.mixes_channels:
            with full_precision(x.device):
                return F.conv_transpose2d(x, self.weight.to(x.dtype), stride=self.stride)
        diagonal = self.weight.diagonal(dim1=0, dim2=1).permute(2, 0, 1).unsqueeze(1)
        return _by_channel(x, diagonal, self.stride)


def _by_channel(x: torch.Tensor, kernels: torch.Tensor, stride: int) -> torch.Tensor:
    """A transposed convolution of each channel by its own kernel of `kernels` (C, 1, k, k)."""
    with full_precision(x.device):
        return F.conv_transpose2d(x, kernels.to(x.dtype), stride=stride, groups=x.shape[1])


def _look_at_weight(module: nn.Module, _keys: object) -> None:
    assert isinstance(module, BilinearDeconv)
    weight = module.weight.detach()
    off = weight.abs().sum(dim=(2, 3))
    module.mixes_channels = bool((off.sum() - off.diagonal().sum()) > 0)
