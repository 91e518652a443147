"""Layers that several families share, and that the fast forward pass knows how to replace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final

import torch
import torch.nn.functional as F
from torch import nn

_NORMALIZE_EPSILON: Final = 1e-10


class ConvReLU(nn.Conv2d):
    """A convolution followed by ReLU, under the convolution's own parameter names."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, outputs, h, w), not negative."""
        return F.relu_(super().forward(x))


def conv_bn_relu(inputs: int, outputs: int, size: int = 3, *, dilation: int = 1, stride: int = 1) -> nn.Sequential:
    """A size-preserving convolution without bias, batch normalisation and ReLU, numbered 0 to 2."""
    padding = dilation * (size - 1) // 2
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride=stride, padding=padding, dilation=dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def separable_conv(
    inputs: int, outputs: int, *, dilation: int = 1, stride: int = 1, between: bool = True
) -> nn.Sequential:
    """A 3 x 3 convolution of each channel by itself, then 1 x 1, each with batch normalisation, numbered 0, 1, 3, 4.

    ReLU stands between the two where `between`, and not behind them.
    """
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, stride=stride, padding=dilation, dilation=dilation, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.ReLU(inplace=True) if between else nn.Identity(),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
    )


class FrozenBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation with fixed statistics, scale and shift, whatever `train()` is told."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.requires_grad_(requires_grad=False)
        self.training = False

    def train(self, mode: bool = True) -> FrozenBatchNorm2d:  # noqa: FBT001, FBT002 - the signature of nn.Module
        """Itself, unchanged: it never trains."""
        return self


class PooledBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation of (N, C, 1, 1): one image alone takes the running statistics."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, 1, 1) normalised."""
        if self.training and x.shape[0] * x.shape[2] * x.shape[3] == 1:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(x)


class WholeImageMean:
    """A mean over all cells of an image that a layer needs, also where the image comes in tiles.

    A tile's own mean would differ from tile to tile and draw seams. `gathering` sums the cells that a tile answers
    for; once `settle` has fixed their mean, every tile gets that of the image.
    """

    def __init__(self) -> None:
        self.fixed: torch.Tensor | None = None
        self._sum: torch.Tensor | None = None
        self._count = 0
        self._core: tuple[float, float, float, float] | None = None

    def mean_of(self, values: torch.Tensor) -> torch.Tensor:
        """(N, K, 1, 1): the mean of `values` (N, K, h, w), or that of the whole image where it is known."""
        if self.fixed is not None:
            return self.fixed.to(values.dtype).expand(values.shape[0], -1, -1, -1)
        if self._core is not None:
            self._gather(values)
        return values.mean(dim=(2, 3), keepdim=True)

    def _gather(self, values: torch.Tensor) -> None:
        assert self._core is not None
        height, width = values.shape[-2:]
        top, bottom, left, right = self._core
        rows = slice(round(top * height), max(round(bottom * height), round(top * height) + 1))
        columns = slice(round(left * width), max(round(right * width), round(left * width) + 1))
        cells = values[:, :, rows, columns].float()
        total = cells.sum(dim=(2, 3), keepdim=True)
        self._sum = total if self._sum is None else self._sum + total
        self._count += cells.shape[2] * cells.shape[3]
        raise _Gathered

    @contextmanager
    def gathering(self, core: tuple[float, float, float, float]) -> Iterator[None]:
        """Inside, a forward pass ends here, with the cells of `core` added.

        `core` is (top, bottom, left, right) as fractions of the input.
        """
        self._core = core
        try:
            yield
        except _Gathered:
            pass
        finally:
            self._core = None

    def settle(self) -> None:
        """Makes the mean of all that was gathered the answer from now on."""
        assert self._sum is not None
        self.fixed, self._sum, self._count = self._sum / self._count, None, 0

    def forget(self) -> None:
        """Takes each input's own mean again."""
        self.fixed, self._sum, self._count = None, None, 0


class _Gathered(Exception):
    """The rest of the forward pass is not needed."""


class GlobalPool(nn.Module, WholeImageMean):
    """The mean over the whole image, (N, C, h, w) to (N, C, 1, 1)."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        WholeImageMean.__init__(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, 1, 1)."""
        return self.mean_of(x)


class SharedGroupNorm(nn.GroupNorm, WholeImageMean):
    """Group normalisation whose statistics are those of the whole image."""

    def __init__(self, num_groups: int, num_channels: int, *, eps: float) -> None:
        nn.GroupNorm.__init__(self, num_groups, num_channels, eps=eps)
        WholeImageMean.__init__(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) normalised."""
        if self._core is None and self.fixed is None:
            return super().forward(x)
        groups = x.float().view(x.shape[0], self.num_groups, -1, *x.shape[-2:])
        moments = torch.cat([groups.mean(2), groups.square().mean(2)], dim=1)
        mean, square = self.mean_of(moments).unsqueeze(2).chunk(2, dim=1)
        scaled = (groups - mean) * ((square - mean.square()).clamp(min=0) + self.eps).rsqrt()
        return scaled.flatten(1, 2) * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """A context in which nothing is cast to 16 bits, on whatever device."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


class L2Norm(nn.Module):
    """Scales each pixel's feature vector to length one, then each channel by a learned factor (ParseNet, section 3.3).

    ``y[c] = scale[c] * x[c] / sqrt(sum(x ** 2) + 1e-10)``, the sum over channels of one pixel.
    """

    def __init__(self, channels: int, scale: float = 10.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((channels,), scale))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) float32: squares of features overflow half precision."""
        x = x.float()
        length = (x.square().sum(dim=1, keepdim=True) + _NORMALIZE_EPSILON).sqrt()
        return x / length * self.scale.view(1, -1, 1, 1)
