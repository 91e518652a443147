"""Parameters of the dense CRF and the values other people published."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

from segstudio.core.errors import UserError

_MAX_ITERATIONS = 100
_RANGES = {
    "bilateral_weight": (0, 1e4),
    "spatial_weight": (0, 1e4),
    "bilateral_xy": (0.01, 1e4),
    "bilateral_rgb": (0.01, 1e4),
    "spatial_xy": (0.01, 1e4),
    "temperature": (0.01, 100),
    "seed_weight": (1, 1e4),
}
# Below this share of the image's longer side the positions overflow the 16-bit lattice keys of pydensecrf.
_KEY_RANGE = 14_000


@dataclass(frozen=True, slots=True)
class CrfParams:
    """Weights and scales of the two Gaussian kernels (Kraehenbuehl and Koltun 2011, eq. 3) and the iterations.

    Attributes:
        bilateral_weight: Strength of the appearance kernel.
        bilateral_xy: Its reach in pixels.
        bilateral_rgb: Its reach in RGB, in steps of 0-255.
        spatial_weight: Strength of the smoothness kernel.
        spatial_xy: Its reach in pixels.
        iterations: Mean-field updates; 0 returns the clipped input.
        temperature: Divides the logits of the input (Guo et al. 2017): above 1 the network counts for less.
        seed_weight: How many pixels one pixel of a stroke counts for, where there are strokes.
    """

    bilateral_weight: float = 4.0
    bilateral_xy: float = 67.0
    bilateral_rgb: float = 3.0
    spatial_weight: float = 3.0
    spatial_xy: float = 1.0
    iterations: int = 10
    temperature: float = 1.0
    seed_weight: float = 100.0

    def validate(self) -> None:
        """Returns if every value can be used.

        Raises:
            UserError: a value is not finite, a scale is not positive, a weight is negative, or too many iterations.
        """
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not (math.isfinite(value) and low <= value <= high):
                raise UserError(f"The CRF's {_words(name)} is {value}.", f"Use a number from {low:g} to {high:g}.")
        if not 0 <= self.iterations <= _MAX_ITERATIONS:
            raise UserError(
                f"The CRF's number of iterations is {self.iterations}.", f"Use a number from 0 to {_MAX_ITERATIONS}."
            )

    def validate_for(self, height: int, width: int) -> None:
        """Returns if every value can be used on an image of this size (pixels).

        Raises:
            UserError: as `validate`, or a reach is too short for an image this large.
        """
        self.validate()
        shortest = max(height, width) / _KEY_RANGE
        for name in ("bilateral_xy", "spatial_xy"):
            if getattr(self, name) < shortest:
                raise UserError(
                    f"The CRF's {_words(name)} of {getattr(self, name):g} pixels is too short for an image of "
                    f"{width} x {height} pixels.",
                    f"Use at least {shortest:.2g} pixels.",
                )

    def kernels(self) -> list[tuple[float, float, float | None]]:
        """Weight, reach in pixels, and reach in colour (None: not looked at); a kernel of weight zero is left out."""
        spatial = (self.spatial_weight, self.spatial_xy, None)
        bilateral = (self.bilateral_weight, self.bilateral_xy, self.bilateral_rgb)
        return [kernel for kernel in (spatial, bilateral) if kernel[0] > 0]

    def to_json(self) -> dict[str, float]:
        """The values by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_json(cls, values: dict[str, float]) -> CrfParams:
        """Parameters from what `to_json` gave; unknown names are dropped, missing ones take their defaults."""
        known = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        params = cls(**known)  # type: ignore[arg-type]
        return replace(params, iterations=int(params.iterations))


@dataclass(frozen=True, slots=True)
class Preset:
    """Published parameters with a title to choose them by and where they come from."""

    params: CrfParams
    title: str
    source: str


def _preset(title: str, source: str, bilateral: tuple[float, float, float], spatial: tuple[float, float]) -> Preset:
    return Preset(CrfParams(*bilateral, *spatial), title, source)


_V1 = "DeepLab v1 (Chen et al., ICLR 2015)"
_V2 = "DeepLab v2 (Chen et al., TPAMI 2018)"
_SETUP = "SetupEnv.m of the authors' released code"
_THIRD_PARTY = "as given by two independent re-implementations"

PRESETS: dict[str, Preset] = {
    "deeplabv2-resnet101": _preset(
        "DeepLab v2 ResNet-101", f"{_V2}; values of the kazuto1011 re-implementation", (4, 67, 3), (3, 1)
    ),
    "deeplabv2-resnet101-official": _preset(
        "DeepLab v2 ResNet-101, authors' comment", f"{_V2}; comment in the released prototxt", (5, 21, 3), (4, 1)
    ),
    "deeplabv1": _preset("DeepLab v1", f"{_V1}; {_SETUP}", (5, 50, 10), (3, 3)),
    "deeplabv1-msc": _preset("DeepLab v1 MSc", f"{_V1}; {_SETUP}", (3, 95, 3), (3, 3)),
    "deeplabv1-coco": _preset("DeepLab v1 COCO", f"{_V1}; {_SETUP}", (5, 67, 3), (3, 3)),
    "deeplabv1-largefov": _preset("DeepLab v1 LargeFOV", f"{_V1}; {_THIRD_PARTY}", (4, 121, 5), (3, 3)),
    "deeplabv1-msc-largefov": _preset("DeepLab v1 MSc-LargeFOV", f"{_V1}; {_THIRD_PARTY}", (4, 83, 5), (3, 3)),
    "deeplabv1-coco-largefov": _preset("DeepLab v1 COCO-LargeFOV", f"{_V1}; {_THIRD_PARTY}", (5, 69, 5), (3, 3)),
    "deeplabv1-msc-coco-largefov": _preset(
        "DeepLab v1 MSc-COCO-LargeFOV", f"{_V1}; {_THIRD_PARTY}", (4, 59, 5), (3, 3)
    ),
    "deeplabv1-script": _preset(
        "DeepLab v1 LargeFOV, script default", f"{_V1}; run_densecrf.sh of the released code", (4, 49, 5), (3, 3)
    ),
    "deeplabv1-default": _preset("DeepLab v1, set-up default", f"{_V1}; default of SetupEnv.m", (5, 50, 3), (3, 3)),
    "deeplabv1-program": _preset(
        "DeepLab v1, program default", f"{_V1}; defaults of the simple densecrf program", (5, 70, 5), (3, 3)
    ),
    "edeconvnet": _preset(
        "EDeconvNet", "DeconvNet (Noh et al., ICCV 2015); inference script of the released code", (5, 20, 3), (3, 3)
    ),
}

DEFAULT_PRESET = "deeplabv2-resnet101"


def preset(name: str) -> CrfParams:
    """The parameters of a preset.

    Raises:
        UserError: no preset has this name.
    """
    if name not in PRESETS:
        raise UserError(f"There is no CRF preset named “{name}”.", f"Choose one of: {', '.join(PRESETS)}.")
    return PRESETS[name].params


def _words(name: str) -> str:
    first, _, what = name.partition("_")
    return f"{first} {what + ' reach' if what in ('xy', 'rgb') else what}".strip()
