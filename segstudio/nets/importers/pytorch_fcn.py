"""wkentaro/pytorch-fcn: FCN-32s, -16s, -8s and -8s at once, under the very names the family has here.

The last two have the same tensors and differ only in two fixed factors, so the file's name, its MD5, or the class name
a training run notes must tell them apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from segstudio.nets.importers.contents import Contents, Recognised, Rule, ambiguous, narrowed, renamed, voc_names

_LAST: Final = (("upscore", "32s"), ("upscore16", "16s"), ("upscore8", "8s"))
_TITLES: Final[Mapping[str, str]] = MappingProxyType(
    {"32s": "FCN-32s", "16s": "FCN-16s", "8s": "FCN-8s", "8s-atonce": "FCN-8s at once"}
)
# Of the two published files, fcn8s_from_caffe.pth and fcn8s-atonce_from_caffe.pth.
_MD5: Final[Mapping[str, str]] = MappingProxyType(
    {"de93e540ec79512f8770033849c8ae89": "8s", "bfed4437e941fef58932891217fe6464": "8s-atonce"}
)


def read(contents: Contents) -> Recognised | None:
    """An FCN on VGG-16."""
    variant = next((name for key, name in _LAST if len(contents.shape(f"{key}.weight")) == 4), None)
    score, first = contents.shape("score_fr.weight"), contents.shape("conv1_1.weight")
    if variant is None or len(score) != 4 or len(first) != 4 or not contents.has("fc6.weight"):
        return None
    doubt = None
    if variant == "8s":
        said = _which_eight(contents)
        if said is None:
            doubt = ambiguous(contents, "FCN-8s or FCN-8s at once", "fcn8s", "fcn8s-atonce")
        variant = said or "8s"
    state, keys = renamed(contents, str)
    return Recognised(
        origin="wkentaro/pytorch-fcn",
        title=_TITLES[variant],
        family="fcn",
        options={"variant": variant, **narrowed(first[0], 64)},
        classes=score[0],
        state=state,
        keys=keys,
        class_names=voc_names(score[0]),
        preprocessing="CAFFE-FCN",
        dropped=contents.dropped,
        doubt=doubt,
    )


def _which_eight(contents: Contents) -> str | None:
    """Which of the two networks with the tensors of FCN-8s a file holds; None where nothing tells."""
    said = contents.card.options.get("variant") if contents.card and contents.card.family == "fcn" else None
    if said in _MD5.values():
        return str(said)
    names = "".join(
        letter for letter in f"{contents.path.name} {contents.notes.get('arch', '')}".lower() if letter.isalnum()
    )
    if "atonce" in names:
        return "8s-atonce"
    return _MD5.get(_md5(contents.path), "8s" if "8s" in names else None)


def _md5(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


RULE: Final = Rule("wkentaro/pytorch-fcn (FCN-32s, FCN-16s, FCN-8s, FCN-8s at once)", read)
