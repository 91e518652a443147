"""panopticapi scores: JSON file and folder of PNGs of the truth, JSON file and folder of PNGs of the prediction.

Data: `pq_compute`'s result: for All, Things and Stuff pq, sq, rq in 0..1 and n; per_class by category id.
"""

from __future__ import annotations

from answering import Answer, answer_with
from panopticapi.evaluation import pq_compute


def score(truth: str, truth_folder: str, prediction: str, prediction_folder: str) -> Answer:
    return pq_compute(truth, prediction, truth_folder, prediction_folder), {}


if __name__ == "__main__":
    answer_with(score)
