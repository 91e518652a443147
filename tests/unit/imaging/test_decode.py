"""Every kind of image file a folder may hold: read right, or refused in one sentence."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image, ImageFile

from segstudio.core.errors import ImageError
from segstudio.imaging import files
from segstudio.imaging.decode import probe, read_image
from segstudio.imaging.header import open_pillow

TURNED = range(1, 9)


@pytest.fixture
def rgb() -> npt.NDArray[np.uint8]:
    """A smooth picture (40, 60, 3) without symmetry, so that JPEG changes it little and any turn shows."""
    rows, columns = np.mgrid[0:40, 0:60]
    return np.stack([rows * 5, columns * 4, (rows + columns) * 2], axis=-1).astype(np.uint8)


def save(path: Path, array: npt.NDArray[np.uint8], **options: object) -> Path:
    Image.fromarray(array).save(path, **options)
    return path


def sentence(error: pytest.ExceptionInfo[ImageError], path: Path) -> str:
    """The message, known to be one sentence that names the file and says what to do."""
    message = error.value.message
    assert path.name in message
    assert message.endswith(".")
    assert "\n" not in str(error.value)
    assert error.value.hint
    return message


def turned(array: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """What a viewer shows for an array stored with an EXIF orientation."""
    return {
        1: array,
        2: array[:, ::-1],
        3: array[::-1, ::-1],
        4: array[::-1],
        5: array.swapaxes(0, 1),
        6: np.rot90(array, -1),
        7: array.swapaxes(0, 1)[::-1, ::-1],
        8: np.rot90(array),
    }[orientation]


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp"])
def test_lossless_formats_give_every_pixel_back(tmp_path: Path, rgb: npt.NDArray[np.uint8], suffix: str) -> None:
    options = {"lossless": True} if suffix == ".webp" else {}
    path = save(tmp_path / f"picture{suffix}", rgb, **options)
    picture = read_image(path)
    assert np.array_equal(picture.rgb, rgb)
    assert picture.rgb.flags.c_contiguous
    assert picture.note is None
    assert (probe(path).width, probe(path).height) == (60, 40)


def test_jpeg_is_read_as_rgb(tmp_path: Path, rgb: npt.NDArray[np.uint8]) -> None:
    path = save(tmp_path / "picture.jpg", rgb, quality=98, subsampling=0)
    assert np.abs(read_image(path).rgb.astype(int) - rgb).max() < 8
    assert probe(path).format == "JPEG"


def test_greyscale_image_has_three_equal_channels(tmp_path: Path, rgb: npt.NDArray[np.uint8]) -> None:
    for name in ("grey.png", "grey.tif", "grey.bmp"):
        picture = read_image(save(tmp_path / name, rgb[:, :, 0]))
        assert np.array_equal(picture.rgb, np.repeat(rgb[:, :, :1], 3, axis=2))
        assert picture.note == "Greyscale image."


def test_black_and_white_image_becomes_0_and_255(tmp_path: Path) -> None:
    Image.fromarray(np.eye(9, dtype=np.bool_)).save(tmp_path / "bits.png")
    assert np.array_equal(read_image(tmp_path / "bits.png").rgb[:, :, 1], np.eye(9, dtype=np.uint8) * 255)


def test_palette_image_is_shown_in_its_colours(tmp_path: Path, rgb: npt.NDArray[np.uint8]) -> None:
    palette = Image.fromarray(rgb).quantize(16)
    palette.save(tmp_path / "palette.png")
    assert np.array_equal(read_image(tmp_path / "palette.png").rgb, np.asarray(palette.convert("RGB")))


def test_rgba_image_keeps_its_colours_and_drops_alpha(tmp_path: Path, rgb: npt.NDArray[np.uint8]) -> None:
    alpha = np.arange(2400, dtype=np.uint32).reshape(40, 60, 1).astype(np.uint8)
    rgba = np.concatenate([rgb, alpha], axis=2)
    for name in ("alpha.png", "alpha.tif"):
        picture = read_image(save(tmp_path / name, rgba))
        assert np.array_equal(picture.rgb, rgb)
        assert "transparency" in str(picture.note)


def test_cmyk_image_is_converted_and_says_so(tmp_path: Path, rgb: npt.NDArray[np.uint8]) -> None:
    cmyk = Image.fromarray(rgb).convert("CMYK")
    for name, options in (("print.jpg", {"quality": 98, "subsampling": 0}), ("print.tif", {})):
        cmyk.save(tmp_path / name, **options)
        picture = read_image(tmp_path / name)
        assert np.abs(picture.rgb.astype(int) - rgb).max() < 12
        assert "CMYK" in str(picture.note)


@pytest.mark.parametrize("name", ["deep.png", "deep.tif"])
def test_16_bit_greyscale_is_stretched_and_says_from_where_to_where(tmp_path: Path, name: str) -> None:
    deep = np.linspace(1000, 5000, 200 * 300).reshape(200, 300).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / name)
    picture = read_image(tmp_path / name)
    assert picture.rgb.shape == (200, 300, 3)
    assert (picture.rgb[0, 0, 0], picture.rgb[-1, -1, 0]) == (0, 255)
    assert abs(int(picture.rgb[100, 0, 0]) - 127) < 3
    assert picture.note == "16-bit image, shown stretched from 1020 to 4979."


def test_16_bit_rgb_keeps_channel_order_and_depth(tmp_path: Path) -> None:
    deep = np.zeros((20, 30, 3), dtype=np.uint16)
    deep[:, :, 0] = np.linspace(0, 400, 30)  # would vanish if only the high byte were read
    tifffile.imwrite(tmp_path / "deep.tif", deep, photometric="rgb")
    cv2.imwrite(str(tmp_path / "deep.png"), deep[:, :, ::-1])
    cv2.imwrite(str(tmp_path / "lzw.tif"), deep[:, :, ::-1])
    for name in ("deep.tif", "deep.png", "lzw.tif"):
        shown = read_image(tmp_path / name).rgb
        assert shown[:, -1, 0].min() == 255
        assert shown[:, :, 1:].max() == 0


@pytest.mark.parametrize("channels", [1, 3])
def test_float_tiff_is_stretched_and_nan_is_black(tmp_path: Path, channels: int) -> None:
    deep = np.linspace(-1, 1, 20 * 30 * channels).reshape(20, 30, channels).squeeze().astype(np.float32)
    deep[0, 0] = np.nan
    tifffile.imwrite(tmp_path / "float.tif", deep, photometric="rgb" if channels == 3 else "minisblack")
    picture = read_image(tmp_path / "float.tif")
    assert picture.rgb[0, 0].max() == 0
    assert picture.rgb[-1, -1].min() == 255
    assert str(picture.note).startswith("Floating-point image")


def test_first_page_of_a_stack_is_shown_and_says_so(tmp_path: Path, rgb: npt.NDArray[np.uint8]) -> None:
    tifffile.imwrite(tmp_path / "stack.tif", np.stack([rgb, rgb // 2]), photometric="rgb")
    picture = read_image(tmp_path / "stack.tif")
    assert np.array_equal(picture.rgb, rgb)
    assert "first of 2 pages" in str(picture.note)


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_exif_rotation_is_applied_exactly_once(
    tmp_path: Path, rgb: npt.NDArray[np.uint8], suffix: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {".jpg": {"quality": 98, "subsampling": 0}, ".webp": {"lossless": True}}.get(suffix, {})
    path = save(tmp_path / f"turned{suffix}", rgb, exif=exif, **options)
    upright = turned(rgb, orientation)
    shown = read_image(path).rgb
    assert shown.shape == upright.shape
    assert np.abs(shown.astype(int) - upright).max() < 8
    assert (probe(path).height, probe(path).width) == upright.shape[:2]


@pytest.mark.parametrize("orientation", TURNED)
def test_rotation_of_a_16_bit_tiff_is_applied_exactly_once(tmp_path: Path, orientation: int) -> None:
    deep = np.arange(600, dtype=np.uint16).reshape(20, 30) * 100
    tag = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(tmp_path / "deep.tif", deep, extratags=tag, photometric="minisblack")
    shown = read_image(tmp_path / "deep.tif").rgb[:, :, 0]
    upright = turned(deep, orientation)
    assert shown.shape == upright.shape
    assert np.abs(shown - (upright - 300.0) * 255 / 59300).max() < 3
    assert (probe(tmp_path / "deep.tif").height, probe(tmp_path / "deep.tif").width) == upright.shape


def test_opencv_turns_tiffs_itself_which_the_lzw_path_counts_on(tmp_path: Path) -> None:
    deep = np.arange(600, dtype=np.uint16).reshape(20, 30)
    for orientation in TURNED:
        tag = [(274, "H", 1, orientation, True)]
        tifffile.imwrite(tmp_path / "deep.tif", deep, extratags=tag, photometric="minisblack")
        by_opencv = cv2.imdecode(np.fromfile(tmp_path / "deep.tif", dtype=np.uint8), cv2.IMREAD_UNCHANGED)
        ours = read_image(tmp_path / "deep.tif").rgb[:, :, 0]
        assert by_opencv.shape == ours.shape
        assert np.all(np.diff(ours.ravel()[np.argsort(by_opencv.ravel())].astype(int)) >= 0)


def test_wrong_extension_is_read_by_content_and_says_so(tmp_path: Path, rgb: npt.NDArray[np.uint8]) -> None:
    path = save(tmp_path / "really.jpg", rgb, format="PNG")
    picture = read_image(path)
    assert np.array_equal(picture.rgb, rgb)
    assert picture.note == "The file is named .jpg but holds a PNG image."


def test_non_ascii_names_are_read(tmp_path: Path, rgb: npt.NDArray[np.uint8]) -> None:
    for name in ("Zelle ä.png", "細胞.png", "клетка 🔬.png"):
        assert np.array_equal(read_image(save(tmp_path / name, rgb)).rgb, rgb)


def test_zero_byte_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.png"
    path.touch()
    with pytest.raises(ImageError) as error:
        read_image(path)
    assert "0 bytes" in sentence(error, path)


def test_text_file_named_as_an_image_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.jpg"
    path.write_text("not an image at all")
    with pytest.raises(ImageError) as error:
        probe(path)
    assert "not an image" in sentence(error, path)


@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".bmp", ".webp"])
def test_truncated_file_is_refused_and_never_shown_in_part(tmp_path: Path, suffix: str, part: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (80, 90, 3), dtype=np.uint8)
    path = save(tmp_path / f"half{suffix}", noise)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(ImageError) as error:
        read_image(path)
    assert "cut off" in sentence(error, path) or "damaged" in error.value.message


def test_truncated_16_bit_tiff_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "half.tif"
    tifffile.imwrite(path, np.zeros((100, 100), dtype=np.uint16), photometric="minisblack")
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(ImageError) as error:
        read_image(path)
    assert sentence(error, path)


def test_truncated_jpeg_with_a_whole_preview_inside_is_refused(tmp_path: Path, rgb: npt.NDArray[np.uint8]) -> None:
    preview = save(tmp_path / "preview.jpg", rgb).read_bytes()
    path = save(tmp_path / "photo.jpg", np.tile(rgb, (4, 4, 1)))
    whole = path.read_bytes()
    segment = b"\xff\xe5" + (len(preview) + 2).to_bytes(2) + preview
    path.write_bytes(whole[:2] + segment + whole[2:])
    assert read_image(path).rgb.shape == (160, 240, 3)
    path.write_bytes(whole[:2] + segment + whole[2:-200])
    with pytest.raises(ImageError) as error:
        read_image(path)
    assert "cut off" in sentence(error, path)


def test_png_with_a_flipped_bit_is_refused(tmp_path: Path, rgb: npt.NDArray[np.uint8]) -> None:
    path = save(tmp_path / "flipped.png", rgb)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(ImageError) as error:
        read_image(path)
    assert "damaged" in sentence(error, path)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".bmp", ".webp"])
def test_corrupt_content_never_raises_anything_but_an_image_error(
    tmp_path: Path, rgb: npt.NDArray[np.uint8], suffix: str
) -> None:
    path = save(tmp_path / f"corrupt{suffix}", rgb)
    whole = path.read_bytes()
    generator = np.random.default_rng(1)
    refused = 0
    for _ in range(40):
        content = bytearray(whole)
        for position in generator.integers(0, min(len(whole), 200), 6):
            content[position] = int(generator.integers(0, 256))
        path.write_bytes(content)
        try:
            assert read_image(path).rgb.ndim == 3
        except ImageError as error:
            refused += 1
            assert path.name in error.message
    assert refused > 10


def test_single_pixel_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "dot.png", np.zeros((1, 1, 3), dtype=np.uint8))
    with pytest.raises(ImageError) as error:
        read_image(path)
    assert "single pixel" in sentence(error, path)


def test_a_line_one_pixel_high_is_read(tmp_path: Path) -> None:
    assert read_image(save(tmp_path / "line.png", np.zeros((1, 7, 3), dtype=np.uint8))).rgb.shape == (1, 7, 3)


def test_20000_by_20000_is_refused_before_a_pixel_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    Image.new("1", (20_000, 20_000)).save(path)
    with pytest.raises(ImageError) as error:
        read_image(path)
    assert "20,000 x 20,000" in sentence(error, path)
    assert probe(path, max_pixels=400_000_000).width == 20_000


def test_a_small_picture_with_gigabytes_behind_it_is_not_read(tmp_path: Path, rgb: npt.NDArray[np.uint8]) -> None:
    path = save(tmp_path / "picture.png", rgb)
    with path.open("r+b") as file:
        file.truncate(6 << 30)
    with pytest.raises(ImageError, match="has 6,144 MiB, far more than 60 x 40 pixels need"):
        read_image(path)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".bmp", ".webp"])
def test_probe_decodes_no_pixel(
    tmp_path: Path, rgb: npt.NDArray[np.uint8], suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / f"picture{suffix}", rgb)

    def refuse(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", refuse)
    assert (probe(path).width, probe(path).height) == (60, 40)


def test_size_guard_of_the_caller_counts(tmp_path: Path, rgb: npt.NDArray[np.uint8]) -> None:
    path = save(tmp_path / "picture.png", rgb)
    with pytest.raises(ImageError, match="too large"):
        read_image(path, max_pixels=2399)
    assert read_image(path, max_pixels=2400).rgb.shape == (40, 60, 3)


def test_pillows_own_bomb_guard_is_left_as_it_was(tmp_path: Path, rgb: npt.NDArray[np.uint8]) -> None:
    before = Image.MAX_IMAGE_PIXELS
    with save(tmp_path / "picture.png", rgb).open("rb") as stream, open_pillow(stream) as image:
        assert image.size == (60, 40)
    assert before == Image.MAX_IMAGE_PIXELS


def test_missing_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gone.png"
    with pytest.raises(ImageError) as error:
        read_image(path)
    assert "not there any more" in sentence(error, path)


def test_folder_named_as_an_image_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "folder.png"
    path.mkdir()
    with pytest.raises(ImageError) as error:
        read_image(path)
    assert "folder" in sentence(error, path)


def test_unreadable_file_is_refused(
    tmp_path: Path, rgb: npt.NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "secret.png", rgb)
    path.chmod(0)
    if os.access(path, os.R_OK):  # root reads everything, so let the system call say no

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ImageError) as error:
        read_image(path)
    assert "permission denied" in sentence(error, path)


def test_too_little_memory_is_said_in_a_sentence(
    tmp_path: Path, rgb: npt.NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(cv2, "imdecode", exhausted)
    path = save(tmp_path / "large.png", rgb)
    with pytest.raises(ImageError) as error:
        read_image(path)
    assert "not enough memory" in sentence(error, path)


def test_write_atomic_keeps_the_old_file_when_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "labels.png"
    path.write_bytes(b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(files.UserError, match=r"The disk is full; labels\.png was not written"):
        files.write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["labels.png"]


def test_write_atomic_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "labels.png"
    files.write_atomic(path, b"old")
    files.write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    shutil.rmtree(tmp_path)
    with pytest.raises(files.UserError, match="cannot be written"):
        files.write_atomic(path, b"new")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_write_atomic_leaves_a_file_that_others_may_read_as_any_other(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    path = tmp_path / ("n" * 250)
    files.write_atomic(path, b"new")
    assert path.stat().st_mode == plain.stat().st_mode
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name, "plain"]
