"""The CRF against pydensecrf 1.0rc3 in the same run, taking turns: A B A B, medians.

    uv run --extra pydensecrf python benchmarks/crf.py speed [--rounds N]
    uv run --extra pydensecrf python benchmarks/crf.py exactness
    uv run --extra pydensecrf python benchmarks/crf.py strokes [--rounds N]
    uv run --extra pydensecrf python benchmarks/crf.py ticks
    uv run --extra pydensecrf python benchmarks/crf.py contended [--rounds N]
    uv run --extra pydensecrf python benchmarks/crf.py memory
    uv run --extra pydensecrf python benchmarks/crf.py windows
    uv run --extra pydensecrf python benchmarks/crf.py torch [--device D] [--rounds N]

`--data` is a folder with `voc-mini` and `camvid` (see its default). Photographs and labels are real; larger images are
mosaics of unscaled photographs, since enlarged ones have far smaller lattices. Unaries are simulated from the labels as
a network of stride 8 would blur them. Parameters are DeepLab v2's (bilateral 4, 67 px, 3; spatial 3, 1 px; 10
iterations). Both sides start from probabilities; ours forgets its lattices before each run unless "cached" is said.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from segstudio.engine.process import CHILD_ENVIRONMENT

if not CHILD_ENVIRONMENT.items() <= os.environ.items():
    # As the program's own workers run: this is read when a process starts.
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **CHILD_ENVIRONMENT})

import cv2
import numpy as np
import numpy.typing as npt

from segstudio.core.geometry import Rect
from segstudio.core.metrics import ConfusionMatrix
from segstudio.imaging.decode import read_image
from segstudio.imaging.labels import read_labels
from segstudio.refine import native_backend as native
from segstudio.refine.api import ignore_progress, never, refined
from segstudio.refine.params import CrfParams
from segstudio.refine.strokes import NO_SEED, Strokes
from segstudio.refine.team import Team, processors, team
from segstudio.refine.windows import in_windows

PARAMS = CrfParams()
VOC = ("2011_000003", "2011_000006", "2011_000025")
CAMVID = ("0016E5_07959", "0016E5_08091")
Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Case:
    """An image, what a network says about it, and its labels (255 = void)."""

    name: str
    image: Bytes
    probabilities: Floats
    labels: Bytes


def simulated(labels: Bytes, classes: int) -> Floats:
    """Probabilities (classes, H, W) as a network of stride 8 would give: blurred, coarse, and unsure here and there."""
    rng = np.random.default_rng(0)
    height, width = labels.shape
    plain = np.where(labels == NO_SEED, 0, labels)
    size = (width // 8 + 1, height // 8 + 1)
    planes = []
    for number in range(classes):
        soft = cv2.GaussianBlur((plain == number).astype(np.float32), (0, 0), 4)
        coarse = np.log(cv2.resize(soft, size, interpolation=cv2.INTER_AREA) + 0.02)
        coarse += rng.normal(0, 0.5, coarse.shape).astype(np.float32)
        planes.append(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR) * 1.5)
    scores = np.exp(np.stack(planes) - np.max(planes, axis=0))
    return np.ascontiguousarray(scores / scores.sum(0), np.float32)


def voc(data: Path) -> list[Case]:
    """The three VOC photographs, 21 classes."""
    root = data / "voc-mini"
    cases = []
    for name in VOC:
        image = read_image(root / "JPEGImages" / f"{name}.jpg").rgb
        labels = read_labels(root / "SegmentationClass" / f"{name}.png")
        cases.append(Case(f"VOC {name}", image, simulated(labels, 21), labels))
    return cases


def camvid(data: Path) -> list[Case]:
    """Two street scenes, 11 classes, all of them in the image or nearly so."""
    root = data / "camvid" / "val"
    cases = []
    for path in sorted((root / "images").iterdir())[:2]:
        labels = read_labels(root / "labels" / f"{path.stem}.png")
        cases.append(Case(f"CamVid {path.stem}", read_image(path).rgb, simulated(labels, 11), labels))
    return cases


def mosaic(data: Path, height: int, width: int, classes: int) -> Case:
    """Unscaled photographs side by side until the size is reached."""
    parts = [case for case in voc(data) if min(case.labels.shape) >= 330]
    image, labels = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint8)
    number, top = 0, 0
    while top < height:
        left = 0
        while left < width:
            part = parts[number % len(parts)]
            place = Rect(top, left, 330, part.labels.shape[1]).clipped(height, width)
            image[place.slices] = part.image[: place.height, : place.width]
            labels[place.slices] = part.labels[: place.height, : place.width]
            number, left = number + 1, place.right
        top += 330
    kept = np.where((labels != NO_SEED) & (labels >= classes), labels % classes, labels).astype(np.uint8)
    return Case(f"{width} x {height}", image, simulated(kept, classes), kept)


def pydensecrf(case: Case) -> Floats:
    """The reference's answer."""
    return refined(case.image, case.probabilities, PARAMS, backend="pydensecrf").probabilities


def ours(case: Case, *, exact: bool) -> Floats:
    """Ours, with the lattices that are there."""
    return refined(case.image, case.probabilities, PARAMS, exact=exact).probabilities


def forget() -> None:
    """Leaves no lattice."""
    native.shared_cache().clear()


def keep_spatial(case: Case) -> None:
    """Leaves the lattice that depends on the image's size alone."""
    forget()
    native.image_terms(case.image, CrfParams(bilateral_weight=0), team(), native.shared_cache())


def nothing() -> None:
    """Leaves things as they are."""


def turns(runs: Sequence[tuple[Callable[[], object], Callable[[], object]]], rounds: int) -> list[float]:
    """The median seconds of each run after a warm-up, the runs taking turns; what comes before a run is not counted."""
    times: list[list[float]] = [[] for _ in runs]
    for number in range(rounds + 1):
        for index, (prepare, run) in enumerate(runs):
            prepare()
            begin = time.perf_counter()
            run()
            if number:
                times[index].append(time.perf_counter() - begin)
    return [statistics.median(own) for own in times]


def speed(data: Path, rounds: int) -> None:
    """Milliseconds, builds included, and ratios."""
    print(f"{processors()} threads")
    print("| case | labels | pydensecrf | exact | automatic | spatial lattice cached | both cached |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for case in [*voc(data), *camvid(data), mosaic(data, 768, 1024, 21), mosaic(data, 1080, 1920, 5)]:
        quick = partial(ours, case, exact=False)
        runs = [
            (nothing, partial(pydensecrf, case)),
            (forget, partial(ours, case, exact=True)),
            (forget, quick),
            (partial(keep_spatial, case), quick),
            (nothing, quick),
        ]
        seconds = turns(runs, rounds if case.labels.size < 500_000 else max(2, rounds // 2))
        cells = " | ".join(f"{own * 1e3:.0f} ms, {seconds[0] / own:.1f}x" for own in seconds[1:])
        print(f"| {case.name} | {len(case.probabilities)} | {seconds[0] * 1e3:.0f} ms | {cells} |", flush=True)


def exactness(data: Path) -> None:
    """How far from the reference, and what the automatic mode changes."""
    print("| case | exact: max abs dQ | same argmax | automatic | mean IoU: network | pydensecrf | automatic |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for case in [*voc(data), *camvid(data), mosaic(data, 768, 1024, 21)]:
        want, exact, quick = pydensecrf(case), ours(case, exact=True), ours(case, exact=False)
        best = want.argmax(0)
        same = [(best == got.argmax(0)).mean() for got in (exact, quick)]
        scores = [mean_iou(case, got) for got in (case.probabilities, want, quick)]
        print(
            f"| {case.name} | {np.abs(want - exact).max():.1e} | {same[0]:.5%} | {same[1]:.4%} | "
            + " | ".join(f"{score:.4f}" for score in scores)
            + " |",
            flush=True,
        )


def mean_iou(case: Case, probabilities: Floats) -> float:
    """Over the classes that are in the image."""
    matrix = ConfusionMatrix(len(probabilities))
    matrix.update(probabilities.argmax(0), case.labels)
    return float(matrix.mean_iou)


def strokes(data: Path, rounds: int) -> None:
    """A window of 256 x 256 under the brush, and the whole image at release, against pydensecrf on the whole image."""
    print("| image | labels | pydensecrf | press | window, 5 iterations | | release, 10 iterations | |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for case in voc(data):
        some = np.unique(case.labels[case.labels != NO_SEED])[:4]
        four = np.concatenate([some, np.setdiff1d(np.arange(21), some)])[:4]
        planes = case.probabilities[four]
        small = Case(case.name, case.image, np.ascontiguousarray(planes / planes.sum(0)), case.labels)
        crf = Strokes(small.image, small.probabilities, PARAMS)
        crf.settle()
        height, width = case.labels.shape
        rect = Rect((height - 256) // 2, (width - 256) // 2, 256, 256)
        seeds = np.full((256, 256), NO_SEED, np.uint8)
        seeds[120:129, 90:161] = 1
        whole = np.full((height, width), NO_SEED, np.uint8)
        whole[rect.slices] = seeds
        crf.press(rect)

        runs = [
            (nothing, partial(pydensecrf, small)),
            (crf.settle, partial(crf.press, rect)),
            (nothing, partial(crf.draw, seeds)),
            (nothing, partial(crf.settle, whole)),
        ]
        reference, pressed, drawn, released = turns(runs, rounds)
        print(
            f"| {case.name} | 4 | {reference * 1e3:.0f} ms | {pressed * 1e3:.1f} ms | {drawn * 1e3:.1f} ms | "
            f"{reference / drawn:.0f}x | {released * 1e3:.0f} ms | {reference / released:.1f}x |",
            flush=True,
        )


def ticks(data: Path) -> None:
    """Ticks of 1 ms that another thread of the process gets while a refinement runs."""
    case = voc(data)[2]
    print("| engine | seconds | ticks | of those possible |\n|---|---:|---:|---:|")
    for name, run in (("pydensecrf", partial(pydensecrf, case)), ("ours", partial(ours, case, exact=True))):
        run()
        counted, stop = [0], threading.Event()

        def tick(counted: list[int] = counted, stop: threading.Event = stop) -> None:
            while not stop.is_set():
                time.sleep(0.001)
                counted[0] += 1

        begin = time.perf_counter()
        for _ in range(200):
            time.sleep(0.001)
        per_tick = (time.perf_counter() - begin) / 200
        ticker = threading.Thread(target=tick)
        ticker.start()
        begin = time.perf_counter()
        for _ in range(3):
            run()
        seconds = time.perf_counter() - begin
        stop.set()
        ticker.join()
        print(f"| {name} | {seconds:.2f} | {counted[0]} | {counted[0] * per_tick / seconds:.0%} |")


def contended(data: Path, rounds: int) -> None:
    """While a training run keeps every core busy: one thread against all of them."""
    case = voc(data)[2]
    script = "import torch\nx = torch.randn(1024, 1024)\nwhile True: x = (x @ x).clamp(-1, 1)"
    busy = subprocess.Popen([sys.executable, "-c", script])
    try:
        time.sleep(5)
        times = {}
        for size in (1, processors()):
            some = Team(size)
            native.team = lambda own=some: own  # type: ignore[assignment]
            times[size] = turns([(forget, partial(ours, case, exact=exact)) for exact in (True, False)], rounds)
        native.team = team  # type: ignore[assignment]
        reference = turns([(nothing, partial(pydensecrf, case))], max(2, rounds // 2))[0]
    finally:
        busy.kill()
        busy.wait()
    one, all_of_them = times[1], times[processors()]
    print("| mode | one thread | all threads | all / one | pydensecrf |\n|---|---:|---:|---:|---:|")
    for number, mode in enumerate(("exact", "automatic")):
        print(
            f"| {mode} | {one[number] * 1e3:.0f} ms | {all_of_them[number] * 1e3:.0f} ms | "
            f"{all_of_them[number] / one[number]:.2f} | {reference * 1e3:.0f} ms |"
        )


def memory(data: Path) -> None:
    """Peak memory of one run on 1920 x 1080 with 5 labels, beyond the arrays that go in and out."""
    print("| engine | MiB |\n|---|---:|")
    for name in ("pydensecrf", "exact", "automatic"):
        done = subprocess.run(
            [sys.executable, __file__, f"_{name}", "--data", str(data)], capture_output=True, text=True, check=True
        )
        print(f"| {name} | {done.stdout.strip().splitlines()[-1]} |", flush=True)


def one_run(data: Path, name: str) -> None:
    """One run in this process, and what it added to the peak."""
    small, case = voc(data)[0], mosaic(data, 1080, 1920, 5)
    run = pydensecrf if name == "pydensecrf" else partial(ours, exact=name == "exact")
    run(Case("", small.image, np.ascontiguousarray(small.probabilities[:5]), small.labels))
    forget()
    held = process_bytes()
    run(case)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - held) >> 20)


def process_bytes() -> int:
    """Main memory this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def windows(data: Path) -> None:
    """How much the result changes where an image goes through in windows."""
    print("| case | window | margin | same argmax |\n|---|---:|---:|---:|")
    cases = [mosaic(data, 1080, 1920, 5), mosaic(data, 768, 1024, 21), *camvid(data)]
    margin = int(3 * PARAMS.bilateral_xy)
    for case in cases:
        whole = ours(case, exact=True).argmax(0)
        part = in_windows(
            native.minimise, case.image, case.probabilities, PARAMS, most_pixels=(256 + 2 * margin) ** 2, exact=True,
            progress=ignore_progress, cancelled=never,
        )  # fmt: skip
        same = (part.probabilities.argmax(0) == whole).mean()
        print(f"| {case.name} | {256 + 2 * margin} | {margin} | {same:.4%} |", flush=True)


def on_torch(data: Path, device: str | None, rounds: int) -> None:
    """The torch engine on a device, against pydensecrf on this machine's CPU."""
    from segstudio.refine import torch_backend

    print("| case | pydensecrf | torch, exact | | max abs dQ |\n|---|---:|---:|---:|---:|")
    for case in voc(data):

        def run(case: Case = case) -> Floats:
            return torch_backend.minimise(
                case.image, case.probabilities, PARAMS, exact=True, progress=ignore_progress, cancelled=never,
                device=device,
            ).probabilities  # fmt: skip

        reference, own = turns([(nothing, partial(pydensecrf, case)), (torch_backend.forget, run)], rounds)
        off = np.abs(pydensecrf(case) - run()).max()
        print(f"| {case.name} | {reference * 1e3:.0f} ms | {own * 1e3:.0f} ms | {reference / own:.1f}x | {off:.1e} |")


def main() -> None:
    """Reads the command line and runs one job."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job")
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device")
    given = parser.parse_args()
    match given.job:
        case "speed":
            speed(given.data, given.rounds)
        case "exactness":
            exactness(given.data)
        case "strokes":
            strokes(given.data, given.rounds)
        case "ticks":
            ticks(given.data)
        case "contended":
            contended(given.data, given.rounds)
        case "memory":
            memory(given.data)
        case "windows":
            windows(given.data)
        case "torch":
            on_torch(given.data, given.device, given.rounds)
        case "_pydensecrf" | "_exact" | "_automatic":
            one_run(given.data, given.job[1:])
        case _:
            parser.error(f"there is no job {given.job}")


if __name__ == "__main__":
    main()
