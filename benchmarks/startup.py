"""From process start to the first image drawn, and from "next image" to the next one drawn, beside labelme.

    python benchmarks/startup.py [--rounds 5] [--sizes 360 20000] [--work FOLDER] [--json FILE]

Both programs open the same folder of 500 x 375 JPEGs, offscreen, in the same run, taking turns. labelme comes from PyPI
into an environment of its own, which this script makes with uv. A driver starts each program through its own `main` and
hooks the end of its canvas's paint event; it then triggers the program's own "next image" action, again and again, with
a pause as a person would make. Prints a Markdown table of medians.

"First opening" makes the project of the folder; "opened before" finds it. labelme knows no such difference.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

_NEXT_IMAGES = 15
_PAUSE_MS = 250
_SETTLE_MS = 2000
_TIMEOUT_S = 300
_HEAVY = ("torch", "torchvision", "pydensecrf")
_MEASURES = {
    "first": "start to first image, first opening",
    "again": "start to first image, opened before",
    "next": "next image",
}


# ------------------------------------------------------------------------------------------- inside the programs


class Watch:
    """Notes when the canvas first drew each image, and asks for the next one after a pause.

    Runs under either program's Python: standard library only, and the program's own Qt.
    """

    def __init__(self, result: Path, core: object, trigger: object, leave: object) -> None:
        self._result, self._core, self._trigger, self._leave = result, core, trigger, leave
        self._seen: object = None
        self._asked = 0.0
        self._first = 0.0
        self._waits: list[float] = []
        self._heavy: set[str] = set()

    def painted(self, image: object) -> None:
        """Called at the end of every paint event that showed `image`."""
        if image == self._seen:
            return
        now = time.monotonic()
        self._seen = image
        self._heavy |= heavy_modules()
        if self._asked:
            self._waits.append(now - self._asked)
        else:
            self._first = now
        finished = len(self._waits) == _NEXT_IMAGES
        call = self._finish if finished else self._next
        self._core.QTimer.singleShot(_SETTLE_MS if len(self._waits) == 0 else _PAUSE_MS, call)  # type: ignore[attr-defined]

    def _next(self) -> None:
        self._asked = time.monotonic()
        self._trigger()  # type: ignore[operator]

    def _finish(self) -> None:
        self._heavy |= heavy_modules()
        data = {"first": self._first, "waits": self._waits, "heavy": sorted(self._heavy)}
        self._result.write_text(json.dumps(data), encoding="utf-8")
        self._leave()  # type: ignore[operator]


def heavy_modules() -> set[str]:
    """Heavy libraries in this process, as Python modules or as mapped files."""
    found = {name for name in _HEAVY if name in sys.modules}
    maps = Path("/proc/self/maps")
    if maps.exists():
        text = maps.read_text(encoding="utf-8", errors="replace")
        found |= {name for name in _HEAVY if f"/{name}/" in text}
    return found


def drive_segstudio(folder: str, result: Path) -> None:
    """Runs the program on a folder, as its command does."""
    from PySide6 import QtCore, QtWidgets

    from segstudio.__main__ import main
    from segstudio.gui.canvas.widget import CanvasWidget

    def window() -> object:
        return next(w for w in QtWidgets.QApplication.topLevelWidgets() if hasattr(w, "actions_table"))

    watch = Watch(
        result,
        QtCore,
        lambda: window().actions_table["next_image"].trigger(),  # type: ignore[attr-defined]  # noqa: PLW0108
        lambda: window().close(),  # type: ignore[attr-defined]
    )
    paint = CanvasWidget.paintEvent

    def paint_and_note(self: CanvasWidget, event: object) -> None:
        paint(self, event)  # type: ignore[arg-type]
        if self.document is not None:
            watch.painted(self.document.item.id)

    CanvasWidget.paintEvent = paint_and_note  # type: ignore[method-assign,assignment]
    sys.argv = ["segstudio", folder]
    main()


def drive_labelme(folder: str, result: Path) -> None:
    """Runs labelme on a folder, as its command does."""
    from labelme.__main__ import main
    from labelme.widgets.canvas import Canvas
    from PyQt5 import QtCore, QtWidgets

    def window() -> object:
        return next(w for w in QtWidgets.QApplication.topLevelWidgets() if type(w).__name__ == "MainWindow")

    watch = Watch(
        result,
        QtCore,
        lambda: window()._actions.open_next_img.trigger(),  # type: ignore[attr-defined]  # noqa: PLW0108
        lambda: os._exit(0),
    )
    paint = Canvas.paintEvent

    def paint_and_note(self: object, event: object) -> None:
        paint(self, event)
        if not self.pixmap.isNull():  # type: ignore[attr-defined]
            watch.painted(self.pixmap.cacheKey())  # type: ignore[attr-defined]

    Canvas.paintEvent = paint_and_note
    sys.argv = ["labelme", folder]
    main()


_DRIVERS = {"segstudio": drive_segstudio, "labelme": drive_labelme}


# ------------------------------------------------------------------------------------------------ around them


def make_images(work: Path, count: int) -> Path:
    """A flat folder of `count` JPEGs: 360 distinct ones, the rest hard links to them."""
    folder = work / f"images-{count}"
    if folder.is_dir() and sum(1 for _ in folder.iterdir()) == count:
        return folder
    import cv2
    import numpy as np

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    distinct = []
    for index in range(min(count, 360)):
        small = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        picture = cv2.resize(small, (500, 375), interpolation=cv2.INTER_CUBIC)
        noise = rng.integers(0, 24, picture.shape, dtype=np.uint8)
        path = folder / f"image{index:05}.jpg"
        cv2.imwrite(str(path), cv2.add(picture, noise))
        distinct.append(path)
    for index in range(len(distinct), count):
        (folder / f"image{index:05}.jpg").hardlink_to(distinct[index % len(distinct)])
    return folder


def labelme_python(work: Path) -> Path:
    """The Python of an environment that holds labelme; made on first use."""
    folder = work / "labelme"
    python = folder / "bin" / "python"
    if not python.exists():
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        subprocess.run(["uv", "venv", "--python", version, str(folder)], check=True)
        subprocess.run(["uv", "pip", "install", "--python", str(python), "labelme"], check=True)
    return python


def labelme_version(python: Path) -> str:
    code = "from importlib.metadata import version; print(version('labelme'))"
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def measure(program: str, python: Path, folder: Path, home: Path) -> tuple[float, float]:
    """Seconds to the first image, and the median wait for the next, of one start."""
    result = home / "result.json"
    result.unlink(missing_ok=True)
    home.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "QT_QPA_PLATFORM": "offscreen",
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "config"),
        "SEGSTUDIO_HOME": str(home / "segstudio"),
    }
    command = [str(python), __file__, "--drive", program, str(folder), str(result)]
    started = time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    if not result.exists():
        raise SystemExit(f"{program} drew no image:\n{done.stdout}\n{done.stderr}")
    data = json.loads(result.read_text(encoding="utf-8"))
    if program == "segstudio" and data["heavy"]:
        raise SystemExit(f"the window process loaded {', '.join(data['heavy'])}")
    return data["first"] - started, median(data["waits"])


def median(values: list[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def compare(work: Path, python: Path, folder: Path, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Seconds by measure and program; one uncounted round first warms the disk cache and compiles bytecode."""
    figures: dict[str, dict[str, list[float]]] = {key: {"segstudio": [], "labelme": []} for key in _MEASURES}
    ours = Path(sys.executable)
    for number in range(rounds + 1):
        home = work / "homes" / f"{folder.name}-{os.getpid()}-{number}"
        first, _ = measure("segstudio", ours, folder, home / "segstudio")
        theirs, their_next = measure("labelme", python, folder, home / "labelme")
        again, our_next = measure("segstudio", ours, folder, home / "segstudio")
        print(
            f"{folder.name} round {number}: SegStudio {first:.2f} s, {again:.2f} s, next {our_next * 1e3:.0f} ms; "
            f"labelme {theirs:.2f} s, next {their_next * 1e3:.0f} ms",
            file=sys.stderr,
        )
        if number:
            figures["first"]["segstudio"].append(first)
            figures["again"]["segstudio"].append(again)
            figures["next"]["segstudio"].append(our_next)
            for key in ("first", "again"):
                figures[key]["labelme"].append(theirs)
            figures["next"]["labelme"].append(their_next)
    return figures


def table(results: dict[int, dict[str, dict[str, list[float]]]]) -> str:
    """The medians as Markdown."""
    lines = ["| images | measure | SegStudio | labelme | ratio | target |", "|---:|---|---:|---:|---:|---:|"]
    for count, figures in results.items():
        for key, title in _MEASURES.items():
            ours, theirs = (median(figures[key][name]) for name in ("segstudio", "labelme"))
            shown = [f"{v * 1e3:.0f} ms" if key == "next" else f"{v:.2f} s" for v in (ours, theirs)]
            target = "1.00" if key == "next" else "0.50"
            lines.append(f"| {count:,} | {title} | {shown[0]} | {shown[1]} | {ours / theirs:.2f} | {target} |")
    return "\n".join(lines)


def main() -> None:
    if sys.argv[1:2] == ["--drive"]:
        _DRIVERS[sys.argv[2]](sys.argv[3], Path(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=[360, 20_000])
    parser.add_argument("--work", type=Path, help="folder for images and labelme's environment; kept")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    import tempfile

    with tempfile.TemporaryDirectory(prefix="segstudio-startup-") as temporary:
        work = (options.work or Path(temporary)).absolute()
        python = labelme_python(work)
        folders = {count: make_images(work, count) for count in options.sizes}
        results = {count: compare(work, python, folder, options.rounds) for count, folder in folders.items()}
        print(f"labelme {labelme_version(python)}, {options.rounds} rounds, medians\n")
        print(table(results))
        if options.json is not None:
            options.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
