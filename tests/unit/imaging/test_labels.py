"""Label images are numbers, never colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segstudio.core.errors import ImageError
from segstudio.imaging.decode import read_labels, write_index_png

LABELS = np.array([[0, 1, 2], [254, 255, 7]], dtype=np.uint8)


def test_palette_png_is_read_as_indices_whatever_its_colours(tmp_path: Path) -> None:
    palette = np.full((256, 3), 77, dtype=np.uint8)  # all classes of one colour
    write_index_png(tmp_path / "labels.png", LABELS, palette)
    assert np.array_equal(read_labels(tmp_path / "labels.png"), LABELS)
    with Image.open(tmp_path / "labels.png") as image:
        assert image.mode == "P"
        assert image.getpalette() == [77] * 768


def test_palette_png_with_few_colours_is_read_as_indices(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1], [3, 2]], dtype=np.uint8))
    image.putpalette([0, 0, 0, 9, 9, 9, 8, 8, 8, 7, 7, 7])
    image.save(tmp_path / "two_bits.png", bits=2)
    assert read_labels(tmp_path / "two_bits.png").tolist() == [[0, 1], [3, 2]]


def test_index_png_without_a_palette_is_returned_as_bytes_and_written_nowhere(tmp_path: Path) -> None:
    data = write_index_png(None, LABELS)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "grey.png").write_bytes(data)
    labels = read_labels(tmp_path / "grey.png")
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, LABELS)


def test_16_bit_index_png_keeps_its_numbers(tmp_path: Path) -> None:
    deep = np.array([[0, 300], [65535, 256]], dtype=np.uint16)
    write_index_png(tmp_path / "deep.png", deep)
    labels = read_labels(tmp_path / "deep.png")
    assert labels.dtype == np.uint16
    assert np.array_equal(labels, deep)
    with pytest.raises(ValueError, match="8-bit"):
        write_index_png(None, deep, np.zeros((256, 3), dtype=np.uint8))


def test_black_and_white_labels_are_0_and_1(tmp_path: Path) -> None:
    Image.fromarray(np.eye(5, dtype=np.bool_)).save(tmp_path / "bits.png")
    assert np.array_equal(read_labels(tmp_path / "bits.png"), np.eye(5, dtype=np.uint8))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_coloured_labels_are_refused(tmp_path: Path, mode: str) -> None:
    Image.fromarray(LABELS).convert(mode).save(tmp_path / "colour.png")
    with pytest.raises(ImageError, match=r"colour\.png holds colours"):
        read_labels(tmp_path / "colour.png")


def test_jpeg_labels_are_refused(tmp_path: Path) -> None:
    Image.fromarray(LABELS).save(tmp_path / "lossy.jpg")
    with pytest.raises(ImageError, match=r"lossy\.jpg is a JPEG"):
        read_labels(tmp_path / "lossy.jpg")


def test_truncated_labels_are_refused(tmp_path: Path) -> None:
    data = write_index_png(None, np.random.default_rng(0).integers(0, 9, (50, 50)).astype(np.uint8))
    for part in (0.4, 0.9):
        (tmp_path / "half.png").write_bytes(data[: int(len(data) * part)])
        with pytest.raises(ImageError, match=r"label image half\.png is|image half\.png is"):
            read_labels(tmp_path / "half.png")


def test_tiff_labels_are_read(tmp_path: Path) -> None:
    Image.fromarray(LABELS).save(tmp_path / "labels.tif")
    assert np.array_equal(read_labels(tmp_path / "labels.tif"), LABELS)
    Image.fromarray(LABELS.astype(np.int32) - 1).save(tmp_path / "signed.tif")
    with pytest.raises(ImageError, match="outside 0 to 65535"):
        read_labels(tmp_path / "signed.tif")
