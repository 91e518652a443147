"""Predictions scored by us and by pycocotools."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from segstudio.evaluation.coco import CocoMode
from segstudio.evaluation.evaluate import Metric, Sample, evaluate
from segstudio.evaluation.outcome import Evaluation

from .made_up import LabelledData


def evaluated(prediction: LabelledData, truth: LabelledData, metric: Metric) -> Evaluation:
    """Our own evaluation of a prediction."""
    pairs = zip(prediction.images, truth.images, strict=True)
    samples = [Sample(name=t.name, image=t.path, load=lambda p=p, t=t: (p.load(), t.load())) for p, t in pairs]
    return evaluate(samples, truth.catalog, title="predictions", metrics=[metric])


def scored_results(document: Path, *, shape: str = "segmentation") -> list[dict[str, Any]]:
    """The annotations of an export as a detector writes results: each a mask (or "bbox") and a score of its own."""
    annotations = json.loads(document.read_text(encoding="utf-8"))["annotations"]
    scores = np.random.default_rng(3).permutation(len(annotations)) / len(annotations)
    keys = ("image_id", "category_id", "segment_id", shape)
    return [{key: a[key] for key in keys} | {"score": s} for a, s in zip(annotations, scores.tolist(), strict=True)]


def stats_by_pycocotools(document: Path, results: list[dict[str, Any]], mode: CocoMode) -> list[float]:
    """The twelve figures, NaN for -1."""
    coco = COCO(str(document))
    evaluation = COCOeval(coco, coco.loadRes(results), str(mode))
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return [math.nan if value == -1 else float(value) for value in evaluation.stats]
