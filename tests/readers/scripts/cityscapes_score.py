"""cityscapesscripts scores label images: folder of ground truth, folder of predictions.

Both hold `<city>_<sequence>_<frame>_..._labelIds.png` at any depth, the ground truth its `_instanceIds.png` beside it.
Data: what `evalPixelLevelSemanticLabeling` writes down: confMatrix, classScores, classInstScores, categoryScores,
averageScoreClasses and so on; NaN where a class is absent.
"""

from __future__ import annotations

from pathlib import Path

from answering import Answer, answer_with
from cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling import args, evaluateImgLists, getPrediction


def score(truth: str, predictions: str) -> Answer:
    args.quiet = True
    args.JSONOutput = False
    args.predictionPath = predictions
    truths = sorted(str(path) for path in Path(truth).rglob("*_labelIds.png"))
    predicted = [getPrediction(args, path) for path in truths]
    return evaluateImgLists(predicted, truths, args), {}


if __name__ == "__main__":
    answer_with(score)
