"""Does a stroke spread? A disc in which the network is wrong, one stroke through it, and how much of it comes right.

    uv run python benchmarks/crf_recall.py [--data FOLDER] [--pictures FOLDER]

In a disc of 70 px inside an object (35 px in the small images of nuclei) the network says another class with a
probability of 0.85; a stroke of 71 x 9 px (35 x 5) through its middle names the right one. Recall is the share of
the object's pixels in the disc that come right. Nuclei are predicted by the shipped `objects-unet-small`; VOC's and
CamVid's predictions are simulated from the labels, as in `crf.py`. `--pictures` writes image, network and results
side by side; they show other people's photographs and are not for publication.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from crf import PARAMS, Bytes, Case, Floats, camvid, voc

from segstudio.imaging.decode import read_image
from segstudio.imaging.labels import read_labels
from segstudio.nets.checkpoint import load_model
from segstudio.nets.predictor import predict
from segstudio.refine.params import CrfParams
from segstudio.refine.strokes import NO_SEED, Strokes

_WRONG: float = 0.85
SETTINGS = {
    "clamped only": replace(PARAMS, temperature=1.0, seed_weight=1.0),
    "weight 10, temperature 2": replace(PARAMS, temperature=2.0, seed_weight=10.0),
    "weight 100, temperature 2": replace(PARAMS, temperature=2.0, seed_weight=100.0),
    "weight 100, temperature 2, colour 10": replace(PARAMS, temperature=2.0, seed_weight=100.0, bilateral_rgb=10.0),
}


@dataclass(frozen=True)
class Trial:
    """A case with a disc that is wrong, and a stroke."""

    case: Case
    spoilt: Floats
    disc: np.ndarray
    truth: int
    seeds: Bytes


def nuclei(data: Path) -> list[Case]:
    """Two images of nuclei, predicted by the shipped network."""
    net = load_model("objects-unet-small")
    cases = []
    for path in sorted((data / "nuclei" / "val" / "images").iterdir())[:40]:
        labels = (read_labels(path.parent.parent / "instances" / f"{path.stem}.png") > 0).astype(np.uint8)
        if labels.mean() > 0.15 and min(labels.shape) >= 250:
            image = read_image(path).rgb
            cases.append(Case(f"nuclei {path.stem}", image, predict(net, image, device="cpu"), labels))
    return cases[:2]


def trial(case: Case) -> Trial | None:
    """The disc lies where the largest object is thickest."""
    classes = [c for c in np.unique(case.labels) if c not in (0, NO_SEED)]
    depths = {c: _depth(case.labels == c) for c in classes}
    if not depths:
        return None
    truth = int(max(depths, key=lambda c: float(depths[c].max())))
    y, x = np.unravel_index(int(depths[truth].argmax()), case.labels.shape)
    small = case.name.startswith("nuclei")
    radius, length, height = (35, 35, 5) if small else (70, 71, 9)
    rows, columns = np.mgrid[: case.labels.shape[0], : case.labels.shape[1]]
    disc = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
    spoilt = case.probabilities.copy()
    spoilt[:, disc] = (1 - _WRONG) / (len(spoilt) - 1)
    spoilt[0, disc] = _WRONG
    seeds = np.full(case.labels.shape, NO_SEED, np.uint8)
    stroke = (abs(rows - y) <= height // 2) & (abs(columns - x) <= length // 2) & (case.labels == truth)
    seeds[stroke] = truth
    return Trial(case, spoilt, disc & (case.labels == truth), truth, seeds)


def _depth(inside: np.ndarray) -> Floats:
    """How far each pixel is from what is not inside, the image's border among it."""
    framed = np.pad(inside.astype(np.uint8), 1)
    depth: Floats = cv2.distanceTransform(framed, cv2.DIST_L2, 5)[1:-1, 1:-1]
    return depth


def figures(one: Trial, params: CrfParams) -> tuple[float, float, Bytes]:
    """Recall in the disc, the object's IoU, and the labels."""
    got = Strokes(one.case.image, one.spoilt, params).settle(one.seeds).labels
    truth, mine = one.case.labels == one.truth, (got == one.truth) & (one.case.labels != NO_SEED)
    return float((got[one.disc] == one.truth).mean()), float((truth & mine).sum() / (truth | mine).sum()), got


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--pictures", type=Path)
    given = parser.parse_args()
    print("| image | network | " + " | ".join(SETTINGS) + " |\n|---" + "|---:" * (len(SETTINGS) + 1) + "|")
    for case in [*voc(given.data), *camvid(given.data), *nuclei(given.data)]:
        one = trial(case)
        if one is None:
            continue
        before = one.spoilt.argmax(0)
        truth, mine = case.labels == one.truth, before == one.truth
        cells = [f"{(before[one.disc] == one.truth).mean():.2f} / {(truth & mine).sum() / (truth | mine).sum():.3f}"]
        shown = [case.image, painted(case.image, before == one.truth, one.seeds)]
        for params in SETTINGS.values():
            recall, iou, labels = figures(one, params)
            cells.append(f"{recall:.2f} / {iou:.3f}")
            shown.append(painted(case.image, labels == one.truth, one.seeds))
        print(f"| {case.name} | " + " | ".join(cells) + " |", flush=True)
        if given.pictures:
            given.pictures.mkdir(parents=True, exist_ok=True)
            name = case.name.replace(" ", "-")
            cv2.imwrite(str(given.pictures / f"{name}.png"), cv2.cvtColor(np.hstack(shown), cv2.COLOR_RGB2BGR))


def painted(image: Bytes, inside: np.ndarray, seeds: Bytes) -> Bytes:
    """The image with one class tinted and the stroke drawn."""
    out = image.astype(np.float32)
    out[inside] = out[inside] * 0.5 + np.array([255, 120, 0], np.float32) * 0.5
    out[seeds != NO_SEED] = (60, 220, 90)
    return out.astype(np.uint8)


if __name__ == "__main__":
    main()
