"""SegStudio: label a segmentation data set while a network learns from every correction.

Importing this package is light: torch and Qt are loaded when a name that needs them is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segstudio.core.catalog import Catalog, LabelClass
    from segstudio.core.errors import SegStudioError, UserError
    from segstudio.core.metrics import ConfusionMatrix
    from segstudio.core.segmentmap import Segment, SegmentMap
    from segstudio.nets.checkpoint import load_model
    from segstudio.nets.predictor import predict
    from segstudio.nets.registry import create_model
    from segstudio.refine.api import refine
    from segstudio.refine.dense_crf import DenseCrf
    from segstudio.refine.params import CrfParams
    from segstudio.services.public import Project

__version__ = "0.1.0"

__all__ = [
    "Catalog",
    "ConfusionMatrix",
    "CrfParams",
    "DenseCrf",
    "LabelClass",
    "Project",
    "SegStudioError",
    "Segment",
    "SegmentMap",
    "UserError",
    "create_model",
    "load_model",
    "predict",
    "refine",
]

_HOMES = {
    "Catalog": "core.catalog",
    "ConfusionMatrix": "core.metrics",
    "CrfParams": "refine.params",
    "DenseCrf": "refine.dense_crf",
    "LabelClass": "core.catalog",
    "Project": "services.public",
    "SegStudioError": "core.errors",
    "Segment": "core.segmentmap",
    "SegmentMap": "core.segmentmap",
    "UserError": "core.errors",
    "create_model": "nets.registry",
    "load_model": "nets.checkpoint",
    "predict": "nets.predictor",
    "refine": "refine.api",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'segstudio' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"segstudio.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
