"""Exports and imports of 1-megapixel images beside labelme's own conversion, and evaluation beside plain numpy.

    python benchmarks/formats.py [--images 1000 10000] [--peer 100] [--rounds 3] [--masks 1000] [--work FOLDER]

The same images and polygons in both programs: photographs that scikit-image ships, as JPEGs of 1000 x 1000, and
eight polygons of five classes each. labelme 6.3.1 converts them in an environment of its own the way its documented
scripts do (`labelme_conversion.py`); `segstudio export` and `segstudio import` run as processes of their own, start-up
included. They take turns; a ratio is the quotient of medians. Peak memory is what the system says of each process.

Evaluation: `segstudio evaluate` on folders of masks against a loop of `numpy.bincount` over the same files as FCN's
score.py counts (`PIL` reads them), and without files: `evaluate` on arrays against `bincount` on one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import skimage.data

_ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(_ROOT / "tests" / "readers"))
from foreign import ForeignReaders  # noqa: E402

from segstudio.core.catalog import Catalog  # noqa: E402
from segstudio.core.items import Status  # noqa: E402
from segstudio.core.segmentmap import FIRST_SEGMENT_ID, Segment, SegmentMap  # noqa: E402
from segstudio.evaluation.evaluate import Sample, evaluate  # noqa: E402
from segstudio.imaging.fills import fill_pillow  # noqa: E402
from segstudio.imaging.labels import write_index_png  # noqa: E402
from segstudio.project.project import Project  # noqa: E402

_SIDE = 1000
_NAMES = ["background", "car", "person", "tree", "house", "dog"]
_CATALOG = Catalog.from_names(_NAMES)
_POLYGONS = 8
_CORNERS = 40
_PHOTOGRAPHS = ("astronaut", "coffee", "chelsea", "rocket", "cat")
_DISTINCT = 20
_MIB = 1 << 20


@dataclass(frozen=True)
class Ran:
    """One process: seconds and peak memory in MiB."""

    seconds: float
    peak_mib: float


def run(*command: object) -> Ran:
    """Runs a process to its end and says what it took.

    Raises:
        RuntimeError: It failed.
    """
    start = time.perf_counter()
    process = subprocess.Popen([str(c) for c in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    errors = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[:4]}: {errors[-2000:]}")
    return Ran(seconds, usage.ru_maxrss / 1024)


# ------------------------------------------------------------------------------------------------------- what to label


def photographs(folder: Path) -> list[Path]:
    """A few dozen 1-megapixel JPEGs."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index in range(_DISTINCT):
        path = folder / f"base{index}.jpg"
        if not path.exists():
            picture = getattr(skimage.data, _PHOTOGRAPHS[index % len(_PHOTOGRAPHS)])()
            turned = np.rot90(picture, index // len(_PHOTOGRAPHS))
            resized = cv2.resize(np.ascontiguousarray(turned), (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(path), resized[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
        paths.append(path)
    return paths


def polygons(index: int) -> Iterator[tuple[int, np.ndarray]]:
    """(class id, (n, 2) corners in whole pixels) of the shapes of one image, blobs as people draw them."""
    rng = np.random.default_rng(index)
    for _ in range(_POLYGONS):
        angles = np.sort(rng.random(_CORNERS)) * 2 * np.pi
        radius = rng.uniform(40, 160) * (1 + 0.25 * np.sin(3 * angles + rng.random() * 6) + 0.05 * rng.random(_CORNERS))
        center = rng.uniform(170, _SIDE - 170, 2)
        corners = center + radius[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        yield int(rng.integers(1, len(_NAMES))), np.clip(np.rint(corners), 0, _SIDE - 1)


def labels_of(index: int) -> SegmentMap:
    """The same shapes as a segment map, later ones over earlier ones as labelme draws them."""
    ids = np.zeros((_SIDE, _SIDE), dtype=np.uint16)
    segments = {}
    for number, (class_id, corners) in enumerate(polygons(index), start=FIRST_SEGMENT_ID):
        mask, rect = fill_pillow(corners, _SIDE, _SIDE)
        ids[rect.slices][mask] = number
        segments[number] = Segment(number, class_id)
    return SegmentMap(ids, np.ones(ids.shape, dtype=np.bool_), segments)


def write_labelme(folder: Path, bases: list[Path], count: int) -> Path:
    """`count` images with labelme's JSON beside them; returns its file of labels."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        name = f"{index:05d}"
        if not (folder / f"{name}.jpg").exists():
            os.link(bases[index % len(bases)], folder / f"{name}.jpg")
        shapes = [
            {
                "label": _NAMES[class_id],
                "points": corners.tolist(),
                "group_id": None,
                "shape_type": "polygon",
                "flags": {},
                "description": "",
                "mask": None,
            }
            for class_id, corners in polygons(index)
        ]
        content = {
            "version": "6.3.1",
            "flags": {},
            "shapes": shapes,
            "imagePath": f"{name}.jpg",
            "imageData": None,
            "imageHeight": _SIDE,
            "imageWidth": _SIDE,
        }
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    labels = folder / "labels.txt"
    labels.write_text("\n".join(["__ignore__", "_background_", *_NAMES[1:]]), encoding="utf-8")
    return labels


def make_project(path: Path, images: Path, bases: list[Path], count: int, *, labelled: bool) -> Path:
    """A project of `count` images, hard links to a few, labelled or not."""
    images.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        target = images / f"{index:05d}.jpg"
        if not target.exists():
            os.link(bases[index % len(bases)], target)
    folder = path.with_suffix(".segstudio")
    if folder.exists():
        return folder
    with Project.create(path, images=images, catalog=_CATALOG) as project:
        if labelled:
            for index, item in enumerate(project.images()):
                project.set_image_info(item.id, width=_SIDE, height=_SIDE)
                project.save_map(item.id, labels_of(index), status=Status.REVIEWED)
    return folder


# ------------------------------------------------------------------------------------------------------------ transfers


def transfers(work: Path, sizes: list[int], peer: int, rounds: int) -> None:
    """Prints export and import speeds beside labelme's, and memory."""
    bases = photographs(work / "bases")
    python = ForeignReaders(work / "environments").python("labelme")
    labels = write_labelme(work / "labelme", bases, peer)
    ours = Path(sys.executable).parent / "segstudio"
    projects = {n: make_project(work / f"labelled{n}", work / f"images{n}", bases, n, labelled=True) for n in sizes}
    print(f"\n{rounds} rounds, taking turns; labelme converts {peer} images a round.\n")
    print("| what | images | images/s | peak MiB | labelme images/s | ratio |\n|---|---:|---:|---:|---:|---:|")
    for kind in ("voc", "coco"):
        theirs: list[float] = []
        exported: dict[int, list[Ran]] = {n: [] for n in sizes}
        imported: dict[int, list[Ran]] = {n: [] for n in sizes}
        for turn in range(rounds):
            theirs.append(_labelme(python, work, labels, kind))
            for size, project in projects.items():
                if turn and size > 1000:
                    continue  # once is enough for what memory does
                out = work / "out"
                exported[size].append(run(ours, "export", project, out, "--format", kind))
                empty = make_project(work / f"empty{size}-{kind}", work / f"images{size}", bases, size, labelled=False)
                imported[size].append(run(ours, "import", empty, out, "--format", kind))
                shutil.rmtree(out)
                shutil.rmtree(empty)
        peer_speed = statistics.median(theirs)
        for what, results in (("export", exported), ("import", imported)):
            for size, runs in results.items():
                speed = size / statistics.median(r.seconds for r in runs)
                peak = max(r.peak_mib for r in runs)
                ratio = speed / peer_speed
                print(f"| {what} {kind} | {size:,} | {speed:.0f} | {peak:.0f} | {peer_speed:.1f} | {ratio:.1f}x |")


def _labelme(python: Path, work: Path, labels: Path, kind: str) -> float:
    out = work / "labelme-out"
    script = _ROOT / "benchmarks" / "labelme_conversion.py"
    command = [str(python), str(script), str(labels.parent), str(out), kind, str(labels)]
    environment = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
    answer = subprocess.run(
        command, check=True, capture_output=True, text=True, env=environment | {"QT_QPA_PLATFORM": "offscreen"}
    )
    shutil.rmtree(out)
    return float(json.loads(answer.stdout.splitlines()[-1])["images_per_second"])


# ----------------------------------------------------------------------------------------------------------- evaluation

_LOOP = """
import sys
from pathlib import Path
import numpy as np
from PIL import Image
predictions, labels, classes = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
total = np.zeros((classes, classes), np.int64)
for path in sorted(labels.glob("*.png")):
    label = np.asarray(Image.open(path)).ravel()
    guess = np.asarray(Image.open(predictions / path.name)).ravel()
    known = (label >= 0) & (label < classes)
    codes = classes * label[known].astype(int) + guess[known]
    total += np.bincount(codes, minlength=classes**2).reshape(classes, classes)
print(total.sum())
"""


def evaluation(work: Path, masks: int, rounds: int) -> None:
    """Prints how fast masks are counted."""
    folders = [work / "predictions", work / "labels"]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    for index in range(masks):
        target = folders[1] / f"{index:05d}.png"
        if not target.exists():
            semantic = labels_of(index % 100).semantic()
            write_index_png(target, semantic, _CATALOG.color_table())
            moved = np.roll(semantic, 3, axis=(0, 1))
            write_index_png(folders[0] / target.name, moved, _CATALOG.color_table())
    classes = work / "names.txt"
    classes.write_text("\n".join(_NAMES), encoding="utf-8")
    ours = Path(sys.executable).parent / "segstudio"
    arguments = ("--predictions", folders[0], "--labels", folders[1], "--classes", classes)
    mine: list[Ran] = []
    plain: list[Ran] = []
    for _ in range(rounds):
        plain.append(run(sys.executable, "-c", _LOOP, *folders, len(_NAMES)))
        mine.append(run(ours, "evaluate", *arguments))
    print(f"\n| {masks:,} pairs of 1-megapixel masks | SegStudio | numpy.bincount | ratio |\n|---|---:|---:|---:|")
    _row("from PNG files, whole process", [r.seconds for r in mine], [r.seconds for r in plain])
    print(f"\nPeak memory {max(r.peak_mib for r in mine):.0f} MiB; the loop {max(r.peak_mib for r in plain):.0f} MiB.")
    pairs = []
    for index in range(20):
        label = labels_of(index).semantic()
        pairs.append((np.roll(label, 3, axis=(0, 1)), label))
    repeated = [pairs[i % len(pairs)] for i in range(masks)]
    samples = [Sample.of_labels(str(i), None, lambda pair=pair: pair) for i, pair in enumerate(repeated)]
    counted, looped = [], []
    for _ in range(rounds):
        looped.append(_timed(lambda: _bincount(repeated)))
        counted.append(_timed(lambda: evaluate(samples, _CATALOG, title="masks")))
    assert np.array_equal(evaluate(samples, _CATALOG, title="masks").matrix.matrix, _bincount(repeated))
    _row("in memory, two threads against one", counted, looped)


def _bincount(pairs: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    classes = len(_NAMES)
    total = np.zeros((classes, classes), np.int64)
    for guess, label in pairs:
        known = (label >= 0) & (label < classes)
        codes = classes * label[known].astype(int) + guess[known]
        total += np.bincount(codes, minlength=classes**2).reshape(classes, classes)
    return total


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _row(what: str, mine: list[float], theirs: list[float]) -> None:
    a, b = statistics.median(mine), statistics.median(theirs)
    print(f"| {what} | {a:.2f} s | {b:.2f} s | {b / a:.1f}x |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 10000])
    parser.add_argument("--peer", type=int, default=100, help="images labelme converts in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--masks", type=int, default=1000)
    parser.add_argument("--work", type=Path, default=Path("formats-benchmark"))
    parser.add_argument("--only", choices=["transfers", "evaluation"])
    arguments = parser.parse_args()
    work = arguments.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    if arguments.only != "evaluation":
        transfers(work, arguments.images, arguments.peer, arguments.rounds)
    if arguments.only != "transfers":
        evaluation(work, arguments.masks, arguments.rounds)


if __name__ == "__main__":
    main()
