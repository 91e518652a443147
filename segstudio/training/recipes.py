"""How each network family learns: as its authors published it, and safely from the few images a person has labelled.

The published recipes are meant for thousands of images and a GPU for days; `docs/training.md` tells where each figure
comes from and what differs. In these tables a learning rate belongs to the loss normalisation beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from segstudio.core.errors import UserError
from segstudio.nets.registry_names import OptionValue
from segstudio.training.config import RECIPES, AugmentConfig, TrainConfig

_AS_IT_IS: Final = AugmentConfig(
    flip=False, quarter_turns=False, scale=1.0, rotate=0.0, brightness=0.0, contrast=0.0, noise=0.0
)
_MIRRORED: Final = replace(_AS_IT_IS, flip=True)
_PLAIN: Final = TrainConfig(
    recipe="published",
    optimizer="sgd",
    weight_decay=5e-4,
    warmup=0,
    clip_norm=0.0,
    average=0.0,
    class_balance=0.0,
    augment=_AS_IT_IS,
)
# Whole images, the loss summed over their pixels; only what is larger than 1024 px is cropped, for memory's sake.
_SUMMED: Final = replace(_PLAIN, reduction="images", whole_images=True, batch=1, crop=1024)
# FCN release prototxts: momentum 0.99, fixed rate, 100 times smaller with each skip.
_FCN: Final = replace(_SUMMED, momentum=0.99, schedule="constant", steps=100_000)
_DEEPLAB: Final = replace(_PLAIN, crop=321, augment=_MIRRORED)
# A decay of 0.9997 in TensorFlow's words is a momentum of 0.0003 in PyTorch's.
_DEEPLAB_V3: Final = replace(
    _PLAIN,
    learning_rate=7e-3,
    weight_decay=1e-4,
    batch=16,
    crop=513,
    steps=30_000,
    batch_norm_momentum=3e-4,
    augment=replace(_MIRRORED, scale=2.0),
)
_DECONVNET: Final = replace(
    _PLAIN,
    learning_rate=1e-2,
    batch=8,
    accumulate=8,
    crop=512,
    schedule="step",
    step_every=9_000,
    restarts=((20_000, 10_000),),
    steps=60_000,
    class_balance=0.5,
)

PUBLISHED: Final[Mapping[str, TrainConfig]] = MappingProxyType(
    {
        # Release prototxts.
        "fcn-32s": replace(_FCN, learning_rate=1e-10),
        "fcn-16s": replace(_FCN, learning_rate=1e-12),
        "fcn-8s": replace(_FCN, learning_rate=1e-14),
        "fcn-8s-atonce": replace(_FCN, learning_rate=1e-10, steps=300_000),
        # Recalled from the paper; the release gives the data layer only.
        "parsenet": replace(_SUMMED, learning_rate=1e-9, steps=80_000),
        # Release prototxts of both stages; the network cuts 224 x 224 out of its boxes and mirrors them itself.
        "deconvnet": _DECONVNET,
        # Both members learn together here, at a rate between what suits the two.
        "edeconvnet": replace(_DECONVNET, learning_rate=1e-3),
        # Paper, section 3: a high momentum and one large tile. Its learning rate is not published.
        "unet-original": replace(
            _PLAIN,
            learning_rate=1e-4,
            momentum=0.99,
            weight_decay=0.0,
            schedule="constant",
            batch=1,
            crop=388,
            border_weight=10.0,
            border_sigma=5.0,
            augment=replace(_AS_IT_IS, rotate=180.0, elastic=10.0, brightness=20.0, contrast=0.2),
        ),
        # The PyTorch re-implementation whose form this is.
        "unet": replace(
            _PLAIN,
            optimizer="rmsprop",
            learning_rate=1e-5,
            momentum=0.999,
            weight_decay=1e-8,
            schedule="constant",
            clip_norm=1.0,
            batch=1,
            whole_images=True,
            crop=1024,
        ),
        # Release: 20 images a step, the loss summed over a box; the rate would fall after 20,000 steps, beyond the end.
        "hypercolumn": replace(
            _PLAIN,
            learning_rate=1e-3,
            weight_decay=1e-3,
            reduction="images",
            schedule="step",
            step_every=20_000,
            batch=1,
            accumulate=20,
            whole_images=True,
            crop=1024,
            steps=10_000,
        ),
        # LargeFOV release prototxt (the paper says 20 images a step).
        "deeplabv1": replace(_DEEPLAB, learning_rate=1e-3, schedule="step", step_every=2_000, batch=30, steps=6_000),
        # Release prototxts.
        "deeplabv2-vgg16": replace(_DEEPLAB, learning_rate=1e-3, batch=10, steps=20_000),
        "deeplabv2-resnet101": replace(
            _DEEPLAB,
            learning_rate=2.5e-4,
            batch=1,
            accumulate=10,
            steps=20_000,
            augment=replace(_MIRRORED, zooms=(0.5, 0.75, 1.0, 1.25, 1.5)),
        ),
        # Paper, section 4.1: at output stride 16 normalisation learns; at 8 it is fixed and the rate smaller.
        "deeplabv3-16": _DEEPLAB_V3,
        "deeplabv3-8": replace(_DEEPLAB_V3, learning_rate=1e-3, freeze_batch_norm=True),
        # Paper, section 4, and its release.
        "deeplabv3plus": replace(_DEEPLAB_V3, weight_decay=4e-5),
        # torchvision's reference scripts: eight GPUs with four crops each, 30 passes over the data.
        "torchvision-resnet": replace(
            _DEEPLAB_V3, learning_rate=2e-2, batch=32, crop=480, batch_norm_momentum=None, steps=None
        ),
        "torchvision-mobilenet": replace(
            _DEEPLAB_V3,
            learning_rate=1e-2,
            weight_decay=1e-6,
            batch=32,
            crop=480,
            batch_norm_momentum=None,
            steps=None,
        ),
        # No recipe is published; the library's CamVid example.
        "smp": replace(
            _PLAIN, optimizer="adamw", learning_rate=2e-4, weight_decay=0.0, batch=32, crop=320, augment=_MIRRORED
        ),
    }
)

_FEW: Final = TrainConfig()
_UPRIGHT: Final = replace(_FEW.augment, quarter_turns=False, rotate=5.0)
_STREET: Final = replace(_UPRIGHT, scale=1.5)
# FCN's summed 1e-10 over 375 x 500 px with momentum 0.99 is about 2e-4 for a mean loss with momentum 0.9.
_FEW_VGG: Final = replace(_FEW, optimizer="sgd", learning_rate=2e-4, weight_decay=5e-4, batch=2, augment=_UPRIGHT)
_FEW_DEEPLAB: Final = replace(_FEW_VGG, learning_rate=2.5e-4, crop=193, augment=_STREET)
# Two crops are too few to estimate the statistics that a loaded trunk has already.
_FEW_RESNET: Final = replace(_FEW_DEEPLAB, learning_rate=2.5e-3, weight_decay=1e-4, freeze_batch_norm=True)

FEW_IMAGES: Final[Mapping[str, TrainConfig]] = MappingProxyType(
    {
        # A minute on two cores is fifty to a hundred and fifty steps: they have to be long ones.
        "unet": replace(_FEW, learning_rate=2e-3),
        # With its context each crop is 184 px wider.
        "unet-original": replace(_FEW, crop=100, batch=2),
        "fcn": _FEW_VGG,
        "parsenet": _FEW_VGG,
        # Its classifiers see features of very different sizes, which a rate of their own evens out.
        "hypercolumn": replace(_FEW_VGG, optimizer="adamw", learning_rate=2e-3, weight_decay=1e-3),
        # fc6 and fc7 are one cell a crop, and normalising over two numbers leaves only their signs.
        "deconvnet": replace(_FEW, learning_rate=5e-4, augment=_UPRIGHT),
        "edeconvnet": replace(_FEW, learning_rate=1e-4, augment=_UPRIGHT),
        "deeplabv1": _FEW_DEEPLAB,
        "deeplabv2": _FEW_DEEPLAB,
        "deeplabv3": _FEW_RESNET,
        "deeplabv3plus": _FEW_RESNET,
        "torchvision": _FEW_RESNET,
        "smp": replace(_FEW, learning_rate=5e-4, crop=192, batch=2, augment=_UPRIGHT, freeze_batch_norm=True),
    }
)
# Crops of a GPU, by those of a CPU; DeepLab's have 32 k + 1 px, where its grids meet.
_GPU_CROPS: Final[Mapping[int, int]] = MappingProxyType({100: 260, 192: 256, 193: 321})
_GPU_BATCH: Final = 8


def for_card(
    family: str, options: Mapping[str, OptionValue], device_kind: str = "cpu", *, recipe: str = "few-images"
) -> TrainConfig:
    """The settings for a network family built with `options`, on ``"cpu"``, ``"cuda"`` or ``"mps"``.

    ``"few-images"`` is what a person beside the program wants: small steps of small crops, weights averaged, gradients
    clipped. ``"published"`` is the authors' recipe whatever the device; it sets the number of steps where one is
    published.

    Raises:
        UserError: There is no such recipe.
    """
    if recipe not in RECIPES:
        raise UserError(f"There is no training recipe {recipe!r}.", f"Choose one of {', '.join(RECIPES)}.")
    if recipe == "published":
        return PUBLISHED[_published_row(family, options)]
    few = FEW_IMAGES[family]
    if device_kind == "cpu":
        return few
    return replace(few, crop=_GPU_CROPS[few.crop], batch=_GPU_BATCH)


def _published_row(family: str, options: Mapping[str, OptionValue]) -> str:
    """The row of the table that variants of a family belong to; an option that is not given has its default."""
    if family == "fcn":
        return f"fcn-{options.get('variant', '8s')}"
    if family == "deeplabv2":
        return f"deeplabv2-{options.get('trunk', 'resnet101')}"
    if family == "deeplabv3":
        return f"deeplabv3-{options.get('output_stride', 16)}"
    if family == "torchvision":
        small = "mobilenet" in str(options.get("model", ""))
        return "torchvision-mobilenet" if small else "torchvision-resnet"
    return family
