"""The HTML report: safe with any name, whole without any other file, bounded, and showing the right pixels."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from segstudio.core.catalog import Catalog, Kind, LabelClass
from segstudio.core.errors import Cancelled, UserError
from segstudio.core.jobs import Progress
from segstudio.core.segmentmap import Segment, SegmentMap
from segstudio.evaluation.evaluate import Comparison, Evaluation, Metric, Sample, evaluate
from segstudio.evaluation.report import report_html, write_report
from segstudio.evaluation.report_html import percent, safe, signed
from segstudio.evaluation.report_pictures import Wish, color_table, strips_of

Labels = npt.NDArray[np.uint8]
HOSTILE = "<script>alert(1)</script>\"'&\u202e\x07</title><img src=x onerror=alert(2)>"
CATALOG = Catalog(
    [
        LabelClass(id=0, name="background", color=(96, 96, 96), kind=Kind.STUFF),
        LabelClass(id=3, name="cell", color=(0, 200, 0)),
    ]
)
_VOID = frozenset({"meta", "img", "br", "link", "input", "hr"})
_MARK = np.array((255, 32, 128))


class _Page(HTMLParser):
    """Reads a page and checks on the way that every tag is closed by its own end."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def _pair(seed: int, size: tuple[int, int] = (90, 120)) -> tuple[Labels, Labels]:
    rng = np.random.default_rng(seed)
    label = np.zeros(size, dtype=np.uint8)
    label[20:60, 30 : 60 + seed] = 3
    label[:4] = 255
    prediction = np.roll(label, int(rng.integers(1, 9)), axis=1)
    prediction[prediction == 255] = 0
    return prediction, label


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    """Six images with pictures."""
    found = []
    for seed in range(6):
        path = tmp_path / f"image{seed}.png"
        cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, (90, 120, 3)).astype(np.uint8))
        found.append(Sample.of_labels(f"image{seed}", path, lambda seed=seed: _pair(seed)))
    return found


def _evaluated(samples: list[Sample], title: str = "model", **options: object) -> Evaluation:
    return evaluate(samples, CATALOG, title=title, **options)  # type: ignore[arg-type]


def _decoded(uri: str | None) -> npt.NDArray[np.uint8]:
    """(H, W, 3) RGB of a data URI."""
    assert uri is not None
    head, _, data = uri.partition(",")
    assert head in ("data:image/png;base64", "data:image/jpeg;base64")
    bgr = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)


# ------------------------------------------------------------------------------------------------------- contents


def test_a_report_holds_the_figures_the_classes_and_the_convention(samples: list[Sample]) -> None:
    evaluation = _evaluated(samples)
    page = _Page(report_html(Comparison((evaluation,)), [samples]))
    for text in ("model", "6 images", "Mean IoU", evaluation.summary.absent.sentence, "background", "cell"):
        assert text in page.text
    for iou in evaluation.summary.iou:
        assert percent(iou) in page.text
    assert "Largest confusions" in page.text
    assert "cell taken for background" in page.text
    assert "image5" in page.text


def test_every_metric_has_its_section_and_those_that_do_not_apply_their_reason() -> None:
    def load() -> tuple[SegmentMap, SegmentMap]:
        prediction, label = (SegmentMap.from_semantic(labels) for labels in _pair(0))
        for segment_map in (prediction, label):
            segment_map.ids[segment_map.ids == 3] = 256
            segment_map.segments[256] = Segment(256, 3)
        return prediction, label

    sample = Sample(name="a", image=None, load=load)
    evaluation = _evaluated([sample], metrics=frozenset(Metric))
    page = _Page(report_html(Comparison((evaluation,)), [[sample]]))
    for metric in Metric:
        assert metric.heading in page.text
    assert "AP, IoU 0.50:0.95, all, 100" in page.text
    assert "AR, IoU 0.50:0.95, large, 100" in page.text
    assert page.all("polyline")
    assert evaluation.notes[Metric.CITYSCAPES] in page.text
    assert "Figures that do not apply" in page.text
    assert "Rand score after thinning" in page.text


def test_cells_of_the_matrix_say_their_pixels() -> None:
    sample = Sample.of_labels("a", None, lambda: _pair(0))
    evaluation = _evaluated([sample])
    text = report_html(Comparison((evaluation,)), [[sample]])
    missed = int(evaluation.matrix.matrix[1, 0])
    assert f"<title>cell as background: {missed} pixels, " in text


@pytest.mark.parametrize("classes", [2, 21, 60, 255])
def test_any_number_of_classes_makes_a_page_of_bounded_size(classes: int) -> None:
    rng = np.random.default_rng(0)
    catalog = Catalog.from_names([f"a class called {i}" for i in range(classes)])
    label = rng.integers(0, classes, (200, 300)).astype(np.uint8)
    prediction = np.where(rng.random(label.shape) < 0.5, label, rng.integers(0, classes, label.shape)).astype(np.uint8)
    sample = Sample.of_labels("noise", None, lambda: (prediction, label))
    evaluation = evaluate([sample], catalog, title="x")
    text = report_html(Comparison((evaluation,)), [[sample]])
    cells = re.findall(r'<rect class="(?:hit|miss)"', text)
    assert len(cells) == min(12_000, int(np.count_nonzero(evaluation.matrix.matrix)))
    assert len(text) < 6_000_000
    _Page(text)


def test_side_by_side_titles_differences_and_moved_images_are_there(samples: list[Sample]) -> None:
    perfect = [Sample.of_labels(s.name, s.image, lambda s=s: (s.semantic()[1],) * 2) for s in samples]
    old, new = _evaluated(samples, "old"), _evaluated(perfect, "new", metrics={Metric.TRIMAP})
    old = _evaluated(samples, "old", metrics={Metric.TRIMAP})
    page = _Page(report_html(Comparison((old, new)), [samples, perfect]))
    assert "old against new" in page.text
    assert signed(1.0 - old.summary.mean_iou) in page.text
    assert any(span.get("class") == "change gain" for span in page.all("span"))
    assert "new: better" in page.text
    assert "Confusion matrix (old)" in page.text
    assert "Confusion matrix (new)" in page.text
    assert len(page.all("polyline")) == 2


def test_errors_that_fall_are_a_gain_and_have_digits_enough() -> None:
    catalog = Catalog.from_names(["cell", "membrane"])
    label = np.zeros((60, 60), dtype=np.uint8)
    label[:, 30] = 1
    broken = label.copy()
    broken[28:32, 30] = 0
    runs = [[Sample.of_labels("a", None, lambda p=p: (p, label))] for p in (broken, label)]
    evaluations = tuple(evaluate(run, catalog, title=f"m{i}", metrics={Metric.EM}) for i, run in enumerate(runs))
    assert evaluations[0].em is not None
    text = report_html(Comparison(evaluations), runs)
    difference = signed(-evaluations[0].em.rand_error, digits=3)
    assert f'<span class="change gain">{difference}</span>' in text


# --------------------------------------------------------------------------------------------------------- safety


def test_hostile_names_stay_text() -> None:
    catalog = Catalog(
        [LabelClass(id=0, name=HOSTILE, color=(1, 2, 3)), LabelClass(id=3, name="x" * 500, color=(4, 5, 6))]
    )
    sample = Sample.of_labels(HOSTILE, None, lambda: _pair(0))
    evaluations = tuple(
        evaluate([sample], catalog, title=f"{HOSTILE}{i}", metrics=frozenset(Metric), warnings=[HOSTILE])
        for i in range(2)
    )
    text = report_html(Comparison(evaluations), [[sample], [sample]])
    page = _Page(text)
    assert {tag for tag, _ in page.tags} <= {
        *("html", "head", "meta", "title", "style", "body", "main", "header", "section", "h1", "h2", "h3", "p", "div"),
        *("table", "thead", "tbody", "tr", "th", "td", "span", "b", "small", "br", "ul", "li", "figure", "figcaption"),
        *("img", "svg", "rect", "text", "path", "polyline"),
    }
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert "\u202e" not in text
    assert "\x07" not in text
    assert "x" * 100 not in text
    assert "<script>alert(1)</script>" in page.text


def test_the_page_asks_for_nothing_from_outside(samples: list[Sample]) -> None:
    text = report_html(Comparison((_evaluated(samples),)), [samples])
    page = _Page(text)
    assert all((image["src"] or "").startswith("data:image/") for image in page.all("img"))
    assert not page.all("script")
    assert not page.all("link")
    assert "url(" not in text
    assert "http" not in re.sub(r"http-equiv", "", re.sub(r"base64,[^\"]*", "", text))
    policy = next(m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert "prefers-color-scheme:dark" in text
    assert "@media print" in text


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("a & b", "a &amp; b"),
        ('"x"', "&quot;x&quot;"),
        ("line\nbreak\x00", "line\ufffdbreak\ufffd"),
        ("\ud800", "\ufffd"),
        ("x" * 81, "x" * 79 + "…"),
    ],
)
def test_text_is_made_safe(given: str, shown: str) -> None:
    assert safe(given) == shown


# ------------------------------------------------------------------------------------------------------- pictures


def test_pictures_are_few_and_small(tmp_path: Path) -> None:
    names = Catalog.from_names([f"c{i}" for i in range(12)])
    rng = np.random.default_rng(0)
    label = np.kron(rng.integers(0, 12, (10, 15)), np.ones((80, 80))).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "a.jpg"), rng.integers(0, 256, (*label.shape, 3)).astype(np.uint8))
    prediction = np.roll(label, 17, axis=1)
    samples = [Sample.of_labels(f"s{i}", tmp_path / "a.jpg", lambda: (prediction, label)) for i in range(12)]
    runs = tuple(evaluate(samples, names, title=f"m{i}") for i in range(3))
    page = _Page(report_html(Comparison(runs), [samples] * 3))
    images = page.all("img")
    assert 100 < len(images) <= 200
    for image in images:
        height, width, _ = _decoded(image["src"]).shape
        assert (str(width), str(height)) == (image["width"], image["height"])
        assert max(height, width) <= 480


def test_the_marked_pixels_are_the_confused_ones(samples: list[Sample]) -> None:
    evaluation = _evaluated(samples)
    prediction, label = samples[0].semantic()
    tiles = strips_of(samples[0], [Wish(sample=0)], color_table(evaluation), evaluation.class_ids)[0]
    assert [tile.caption for tile in tiles] == ["Image", "Label", "Prediction", "All mistakes"]
    # Shown enlarged to twice the size: each pixel of the image is a block of four.
    marked = _decoded(tiles[3].uri)[::2, ::2].astype(int)
    close = np.abs(marked - _MARK).sum(axis=2) < 120
    wrong = (label != 255) & (prediction != label)
    assert tiles[3].width == 240
    assert np.mean(close == wrong) > 0.995
    shown = _decoded(tiles[1].uri)[::2, ::2]
    assert np.abs(shown[label == 3].astype(int) - (0, 200, 0)).max() < 30
    assert np.abs(shown[label == 0].astype(int) - (96, 96, 96)).max() < 30


def test_a_crop_shows_the_largest_group_of_a_cell(tmp_path: Path) -> None:
    label = np.zeros((1000, 1400), dtype=np.uint8)
    prediction = label.copy()
    prediction[800:830, 1200:1240] = 3
    prediction[100, 100] = 3
    image = np.zeros((*label.shape, 3), dtype=np.uint8)
    image[800:830, 1200:1240] = 255
    cv2.imwrite(str(tmp_path / "a.png"), image)
    sample = Sample.of_labels("a", tmp_path / "a.png", lambda: (prediction, label))
    evaluation = _evaluated([sample])
    tiles = strips_of(sample, [Wish(sample=0, cell=(0, 3))], color_table(evaluation), evaluation.class_ids)[0]
    picture = _decoded(tiles[0].uri)
    bright = np.argwhere(picture.min(axis=2) > 128)
    assert picture.shape[:2] == (180, 240)
    assert np.abs(bright.mean(axis=0) - (90, 120)).max() < 15
    assert np.mean(picture.min(axis=2) > 128) > 0.03


def test_a_single_wrong_pixel_of_a_large_image_still_shows() -> None:
    label = np.zeros((2000, 3000), dtype=np.uint8)
    prediction = label.copy()
    prediction[777, 1111] = 3
    sample = Sample.of_labels("a", None, lambda: (prediction, label))
    evaluation = _evaluated([sample])
    tiles = strips_of(sample, [Wish(sample=0)], color_table(evaluation), evaluation.class_ids)[0]
    marked = _decoded(tiles[-1].uri).astype(int)
    assert [tile.caption for tile in tiles] == ["Label", "Prediction", "All mistakes"]
    assert tiles[-1].width == 480
    assert (marked[..., 0] - marked[..., 1]).max() > 100


@pytest.mark.parametrize("what", ["missing", "no image", "other size"])
def test_without_a_picture_that_fits_the_other_three_are_shown(tmp_path: Path, what: str) -> None:
    path = tmp_path / "a.png"
    if what == "no image":
        path.write_bytes(b"nothing of the kind")
    elif what == "other size":
        cv2.imwrite(str(path), np.zeros((10, 10, 3), np.uint8))
    sample = Sample.of_labels("a", path, lambda: _pair(0))
    evaluation = _evaluated([sample])
    tiles = strips_of(sample, [Wish(sample=0)], color_table(evaluation), evaluation.class_ids)[0]
    assert [tile.caption for tile in tiles] == ["Label", "Prediction", "All mistakes"]


def test_each_image_is_read_once_for_all_its_pictures(samples: list[Sample]) -> None:
    read: list[str] = []
    counted = [
        Sample.of_labels(s.name, s.image, lambda s=s: (read.append(s.name), s.semantic())[1])  # type: ignore[func-returns-value]
        for s in samples
    ]
    evaluation = _evaluated(counted)
    read.clear()
    told: list[Progress] = []
    report_html(Comparison((evaluation,)), [counted], progress=told.append)
    assert sorted(read) == sorted(s.name for s in samples)
    assert told[-1].fraction == 1.0


# ----------------------------------------------------------------------------------------------------- the file


def test_the_file_is_the_same_every_time_and_written_at_once(samples: list[Sample], tmp_path: Path) -> None:
    comparison = Comparison((_evaluated(samples),))
    target = tmp_path / "report.html"
    write_report(target, comparison, [samples])
    first = target.read_bytes()
    write_report(target, comparison, [samples])
    assert target.read_bytes() == first
    assert first.startswith(b"<!DOCTYPE html>")
    with pytest.raises(Cancelled):
        write_report(target, comparison, [samples], cancelled=lambda: True)
    assert target.read_bytes() == first
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []


def test_a_folder_that_is_not_there_is_a_sentence(samples: list[Sample], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"report\.html cannot be written"):
        write_report(tmp_path / "nowhere" / "report.html", Comparison((_evaluated(samples),)), [samples])
