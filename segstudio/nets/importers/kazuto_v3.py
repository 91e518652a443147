"""kazuto1011/deeplab-pytorch, DeepLab v3 and v3+ with ResNet-101: three scales, cells centred, Caffe's layout."""

from __future__ import annotations

import re
from typing import Final

from segstudio.nets.importers.contents import Contents, Recognised, Rule, narrowed, renamed
from segstudio.nets.importers.deeplab_v3_facts import data_set_names, output_stride
from segstudio.nets.importers.kazuto_names import STEM_WEIGHT, trunk_name
from segstudio.nets.registry_names import OptionValue

_PLACES: Final = {"conv": 0, "bn": 1}
_UNIT: Final = re.compile(r"(.+)\.(conv|bn)\.(\w+)")


def read(contents: Contents) -> Recognised | None:
    """DeepLab v3, or v3+ where there is a decoder; the prefix "base." is that of the wrapper with three scales."""
    plus = contents.has("reduce.conv.weight")
    head, stem = contents.shape("fc2.conv3.weight" if plus else "fc2.weight"), contents.shape(STEM_WEIGHT)
    if not contents.has("aspp.stages.c0.conv.weight") or len(head) != 4 or len(stem) != 4:
        return None
    state, keys = renamed(contents, _name)
    stride, sentences = output_stride(contents)
    scales = "multi" if contents.prefix == "base." else "single"
    options: dict[str, OptionValue] = {
        "trunk": "resnet101",
        "output_stride": stride,
        "layout": "caffe",
        "upsampling": "centres",
        "scales": scales,
        **narrowed(stem[0], 64),
    }
    return Recognised(
        origin="kazuto1011/deeplab-pytorch",
        title=f"DeepLab v3{'+' if plus else ''}, ResNet-101, {'three scales' if scales == 'multi' else 'one scale'}",
        family="deeplabv3plus" if plus else "deeplabv3",
        options=options,
        classes=head[0],
        state=state,
        keys=keys,
        class_names=data_set_names(head[0]),
        preprocessing="CAFFE-DL",
        dropped=contents.dropped,
        sentences=sentences,
    )


def _name(key: str) -> str:
    trunk = trunk_name(key)
    if trunk != key:
        return trunk
    unit = _UNIT.fullmatch(key)
    if unit is None:
        return re.sub(r"^fc2(\.conv3)?\.", "classifier.", key)
    module, kind, leaf = unit.groups()
    place = _PLACES[kind]
    if module == "aspp.stages.imagepool.conv":
        return f"aspp.pool.{place + 1}.{leaf}"
    if module.startswith("aspp.stages.c"):
        return f"aspp.branches.{module.removeprefix('aspp.stages.c')}.{place}.{leaf}"
    if module.startswith("fc2.conv"):
        return f"decoder.{int(module.removeprefix('fc2.conv')) - 1}.{place}.{leaf}"
    ours = {"fc1": "aspp.project", "reduce": "low"}.get(module, module)
    return f"{ours}.{place}.{leaf}"


RULE: Final = Rule("kazuto1011/deeplab-pytorch (DeepLab v3 and v3+ with ResNet-101)", read)
