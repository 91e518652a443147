"""milesial/Pytorch-UNet: U-Net with transposed convolutions or with bilinear upsampling, under the names used here."""

from __future__ import annotations

import re
from typing import Final

from segstudio.core.errors import ModelError
from segstudio.nets.importers.contents import Contents, Recognised, Rule, State, renamed

_BIAS: Final = re.compile(r"(.*double_conv)\.([03])\.bias")
_SCALE: Final = re.compile(r"scale(0\.\d+)")


def read(contents: Contents) -> Recognised | None:
    """A padded U-Net; whether it is bilinear, its width and its channels follow from the tensors."""
    first, head = contents.shape("inc.double_conv.0.weight"), contents.shape("outc.conv.weight")
    if len(first) != 4 or len(head) != 4:
        return None
    bilinear = not contents.has("up1.up.weight")
    state, keys = renamed(contents, str)
    folded = _fold_biases(state, contents.path.name)
    note = f"Its {folded} convolution biases, as files from before 2021-12-13 have, went into the running means."
    return Recognised(
        origin="milesial/Pytorch-UNet",
        title=f"U-Net, {'bilinear upsampling' if bilinear else 'transposed convolutions'}",
        family="unet",
        options={"width": first[0], "channels": first[1], "bilinear": bilinear},
        classes=head[0],
        state=state,
        keys=keys,
        class_names=("background", "car") if head[0] == 2 and "carvana" in contents.path.name.lower() else (),
        preprocessing="GRAY01" if first[1] == 1 else "UNIT",
        dropped=contents.dropped,
        sentences=(*((note,) if folded else ()), *_scale_note(contents.path.name)),
    )


def _fold_biases(state: State, name: str) -> int:
    """Moves the biases of normalised convolutions into the running means; gives their number."""
    found = [match for key in state if (match := _BIAS.fullmatch(key))]
    for match in found:
        mean = f"{match.group(1)}.{int(match.group(2)) + 1}.running_mean"
        if mean not in state or state[mean].shape != state[match.group()].shape:
            raise ModelError(f"{name} lacks the running means beside {match.group()}.", "Fetch the file again.")
        state[mean] = state[mean] - state.pop(match.group())
    return len(found)


def _scale_note(name: str) -> tuple[str, ...]:
    scale = _SCALE.search(name)
    return (f"It was trained on images scaled by {scale.group(1)}.",) if scale else ()


RULE: Final = Rule("milesial/Pytorch-UNet (U-Net with transposed convolutions or bilinear upsampling)", read)
