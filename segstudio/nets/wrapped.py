"""What the families that wrap another library's networks share."""

from __future__ import annotations

import math

from torch import nn

from segstudio.nets.backbones.vgg16 import thinned
from segstudio.nets.blocks import GlobalPool, PooledBatchNorm2d, SharedGroupNorm


def share_means(net: nn.Module) -> None:
    """Replaces pools over the whole image, the normalisation behind them, and group normalisation by ours.

    Names stay. A mean that an encoder takes without a module of its own stays each tile's.
    """
    for parent in list(net.modules()):
        pooled = False
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.AdaptiveAvgPool2d) and child.output_size in (1, (1, 1)):
                setattr(parent, name, GlobalPool())
                pooled = isinstance(parent, nn.Sequential)
            elif pooled and isinstance(child, nn.BatchNorm2d):
                norm = PooledBatchNorm2d(child.num_features, eps=child.eps, momentum=child.momentum)
                setattr(parent, name, norm)
            elif isinstance(child, nn.GroupNorm):
                setattr(parent, name, SharedGroupNorm(child.num_groups, child.num_channels, eps=child.eps))


def narrow_layers(net: nn.Module, thin: int, heads: tuple[str, ...]) -> None:
    """Replaces all convolutions and normalisations by random ones with `thin` times fewer channels.

    Colours stay three, and the outputs of the layers whose name begins with one of `heads` stay as many as classes.
    """
    for name, module in list(net.named_modules()):
        if not isinstance(module, nn.Conv2d | nn.BatchNorm2d | nn.GroupNorm):
            continue
        parent = net.get_submodule(name.rpartition(".")[0])
        setattr(parent, name.rpartition(".")[2], _narrowed(module, thin, keeps_outputs=f"{name}.".startswith(heads)))


def _narrowed(module: nn.Conv2d | nn.BatchNorm2d | nn.GroupNorm, thin: int, *, keeps_outputs: bool) -> nn.Module:
    if isinstance(module, nn.BatchNorm2d):
        return type(module)(thinned(module.num_features, thin), eps=module.eps, momentum=module.momentum)
    if isinstance(module, nn.GroupNorm):
        channels = thinned(module.num_channels, thin)
        return nn.GroupNorm(math.gcd(module.num_groups, channels), channels, eps=module.eps)
    conv = nn.Conv2d(
        thinned(module.in_channels, thin),
        module.out_channels if keeps_outputs else thinned(module.out_channels, thin),
        (module.kernel_size[0], module.kernel_size[1]),
        stride=(module.stride[0], module.stride[1]),
        padding=module.padding if isinstance(module.padding, str) else (module.padding[0], module.padding[1]),
        dilation=(module.dilation[0], module.dilation[1]),
        groups=thinned(module.groups, thin) if module.groups > 1 else 1,
        bias=module.bias is not None,
    )
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    return conv
