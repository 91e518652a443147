"""A network's twin for prediction: every convolution, with what follows it, replaced by one fused step.

Only patterns whose order of computation is known are replaced: runs inside `nn.Sequential`, torchvision's residual
blocks, ResNet stems, `ConvReLU` and single convolutions. Everything else stays as it is.
"""

from __future__ import annotations

import copy
from typing import Protocol

import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from segstudio.nets.base import SegmentationNet
from segstudio.nets.blocks import ConvReLU
from segstudio.nets.fast.conv import Folded, FusedConv, can_fold, folded, upsampling_factor


class Make(Protocol):
    """Turns a folded convolution, and ReLU where wanted, into one step."""

    def __call__(self, what: Folded, *, relu: bool) -> FusedConv:
        """The fused step."""
        ...


class FusedBlock(nn.Module):
    """A residual block whose last convolution adds the shortcut and applies ReLU in the same pass."""

    def __init__(self, convs: list[nn.Module], shortcut: nn.Module | None) -> None:
        super().__init__()
        self.convs = nn.ModuleList(convs)
        self.shortcut = shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, outputs, h, w), not negative."""
        summand = x if self.shortcut is None else self.shortcut(x)
        *first, last = self.convs
        for conv in first:
            x = conv(x)
        out: torch.Tensor = last(x, summand)
        return out


def twin(net: SegmentationNet, make: Make, *, release: bool = False) -> SegmentationNet:
    """A copy of `net` in evaluation mode with fused convolutions; what is not replaced shares its tensors.

    `release` empties the weights of `net` one by one as they are taken over, so that both never lie in memory whole;
    `net` is of no use afterwards.
    """
    shared: dict[int, object] = {id(tensor): tensor for tensor in (*net.parameters(), *net.buffers())}
    fast = copy.deepcopy(net, shared).eval()
    _Fuser(make, release=release).inside(fast)
    return fast


class _Fuser:
    """Walks through a network and replaces what it knows."""

    def __init__(self, make: Make, *, release: bool) -> None:
        self._make = make
        self._release = release

    def inside(self, module: nn.Module) -> None:
        """Replaces what stands below `module`."""
        if isinstance(module, nn.Sequential):
            self._runs(module)
        self._stem(module)
        for name, child in module.named_children():
            replacement = self._replacement(child)
            if replacement is None:
                self.inside(child)
            else:
                setattr(module, name, replacement)

    def _fused(self, conv: nn.Module, norm: nn.Module | None = None, *, relu: bool) -> nn.Module:
        assert isinstance(conv, nn.Conv2d | nn.ConvTranspose2d)
        assert norm is None or isinstance(norm, nn.BatchNorm2d)
        made: nn.Module = self._make(folded(conv, norm, release=self._release), relu=relu)
        factor = upsampling_factor(conv)
        if factor > 1:
            made = nn.Sequential(made, nn.PixelShuffle(factor))
        if self._release:
            conv.weight.data = torch.empty(0)
        return made

    def _replacement(self, child: nn.Module) -> nn.Module | None:
        if isinstance(child, Bottleneck | BasicBlock):
            return self._block(child)
        if isinstance(child, ConvReLU):
            return self._fused(child, relu=True)
        if _is_plain(child):
            return self._fused(child, relu=False)
        return None

    def _runs(self, sequence: nn.Sequential) -> None:
        """Convolution, normalisation where there is one, ReLU where there is one; places keep their numbers."""
        names = list(sequence._modules)
        index = 0
        while index < len(names):
            conv = sequence._modules[names[index]]
            index += 1
            if conv is None or not _is_plain(conv):
                continue
            norm = _at(sequence, names, index, nn.BatchNorm2d)
            after = index + (norm is not None)
            relu = _at(sequence, names, after, nn.ReLU)
            last = after + (relu is not None)
            sequence._modules[names[index - 1]] = self._fused(conv, norm, relu=relu is not None)
            for place in names[index:last]:
                sequence._modules[place] = nn.Identity()
            index = last

    def _stem(self, module: nn.Module) -> None:
        """The first convolution of a ResNet, whose normalisation and ReLU are the module's own attributes."""
        parts = module._modules
        conv, norm, relu = parts.get("conv1"), parts.get("bn1"), parts.get("relu")
        if conv is None or not _is_plain(conv) or not isinstance(norm, nn.BatchNorm2d):
            return
        if isinstance(relu, nn.ReLU) and not isinstance(module, Bottleneck | BasicBlock):
            parts["conv1"] = self._fused(conv, norm, relu=True)
            parts["bn1"] = parts["relu"] = nn.Identity()

    def _block(self, block: Bottleneck | BasicBlock) -> FusedBlock:
        last = 3 if isinstance(block, Bottleneck) else 2
        # The last ReLU comes after the sum, and the fused step does the sum first, too.
        pairs = [(getattr(block, f"conv{number}"), getattr(block, f"bn{number}")) for number in range(1, last + 1)]
        convs = [self._fused(conv, norm, relu=True) for conv, norm in pairs]
        shortcut = block.downsample
        if shortcut is not None:
            self.inside(shortcut)
        return FusedBlock(convs, shortcut)


def _is_plain(module: nn.Module) -> bool:
    """A convolution and nothing else (a subclass may do more in its forward pass), of a kind that can be folded."""
    return type(module) in (nn.Conv2d, nn.ConvTranspose2d) and can_fold(module)


def _at(sequence: nn.Sequential, names: list[str], index: int, kind: type[nn.Module]) -> nn.Module | None:
    found = sequence._modules[names[index]] if index < len(names) else None
    return found if isinstance(found, kind) else None
