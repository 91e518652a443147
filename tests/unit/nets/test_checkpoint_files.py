"""Files that are no usable checkpoint: each gets one sentence, and nothing else ever comes out."""

from __future__ import annotations

import errno
import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segstudio.core.errors import ModelError
from segstudio.nets import checkpoint_file
from segstudio.nets.checkpoint import load_model, save_checkpoint
from segstudio.nets.registry import build

HALF_A_NETWORK = {"inc.double_conv.0.weight": torch.zeros(2, 3, 3, 3)}


def _unet_state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return build("unet", classes=2, options={"width": 1}).state_dict()


def _refused(path: Path) -> ModelError:
    with pytest.raises(ModelError) as caught:
        load_model(path)
    assert path.name in caught.value.message
    assert caught.value.message.endswith(".")
    assert caught.value.hint.endswith(".")
    return caught.value


def _script(path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), str(path))


def _zip(*names: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, b"x")

    return write


def _bytes(content: bytes) -> Callable[[Path], Any]:
    return lambda path: path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "write", "what"),
    [
        ("net.pt", _zip("net/code/__torch__.py", "net/constants.pkl", "net/data.pkl"), "TorchScript"),
        ("unet.hdf5", _bytes(b"\x89HDF\r\n\x1a\n" + bytes(100)), "Keras"),
        ("unet.h5", _bytes(b"anything"), "Keras"),
        ("unet.keras", _zip("config.json", "model.weights.h5"), "Keras"),
        ("fcn8s.caffemodel", _bytes(b"\x0a\x05fcn8s"), "Caffe"),
        ("renamed-caffe.pth", _bytes(b"\x0a\x14VGG_ILSVRC_16_layers\x12\x04"), "Caffe"),
        ("net.onnx", _bytes(b"\x08\x08\x12\x07pytorch"), "ONNX"),
        ("renamed-onnx.pth", _bytes(b"\x08\x08\x12\x07pytorch"), "ONNX"),
        ("model.ckpt-30000.index", _bytes(bytes(48)), "TensorFlow"),
        ("model.ckpt.data-00000-of-00001", _bytes(b"abc"), "TensorFlow"),
        ("frozen.pb", _bytes(b"abc"), "TensorFlow"),
        ("net.tflite", _bytes(b"\x1c\0\0\0TFL3"), "TensorFlow Lite"),
        ("arrays.npz", _zip("a.npy", "b.npy"), "NumPy"),
        ("array.npy", _bytes(b"\x93NUMPY\x01\0"), "NumPy"),
        ("net.zip", _zip("net.pth", "readme.txt"), "archive"),
        ("net.pth.tar", _bytes(bytes(257) + b"ustar\x0000" + bytes(300)), "archive"),
        ("net.tar.gz", _bytes(b"\x1f\x8b\x08\0"), "archive"),
        ("fcn8s_from_caffe.pth", _bytes(b"\n<!DOCTYPE html><html>Google Drive"), "web page"),
        ("pointer.pth", _bytes(b"version https://git-lfs.github.com/spec/v1\n"), "Git LFS"),
        ("notes.pth", _bytes(b"These are notes."), "no checkpoint"),
        ("cut.safetensors", _bytes(b"\x40\0\0\0\0\0\0\0{"), "damaged"),
        ("empty.pth", _bytes(b""), "empty"),
    ],
)
def test_a_file_of_another_kind_is_named_for_what_it_is(
    tmp_path: Path, name: str, write: Callable[[Path], None], what: str
) -> None:
    write(tmp_path / name)
    assert what in _refused(tmp_path / name).message


@pytest.mark.filterwarnings("ignore:.*torch.jit.*")
def test_a_real_torchscript_archive_is_refused(tmp_path: Path) -> None:
    _script(tmp_path / "scripted.pt")
    assert "TorchScript" in _refused(tmp_path / "scripted.pt").message


def test_folders_are_named(tmp_path: Path) -> None:
    assert "is a folder" in _refused(tmp_path).message
    (tmp_path / "saved_model.pb").touch()
    assert "TensorFlow" in _refused(tmp_path).message


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "net.pth")
    assert "is not a file" in _refused(tmp_path / "net.pth").message


def test_a_file_that_nobody_may_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.pth"
    path.write_bytes(b"abc")

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert "Permission denied" in _refused(path).message


def test_a_file_above_the_limit_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(HALF_A_NETWORK, tmp_path / "net.pth")
    monkeypatch.setattr(checkpoint_file, "MAX_BYTES", 100)
    monkeypatch.setattr(torch, "load", None)
    assert "too large" in _refused(tmp_path / "net.pth").message


def test_an_archive_that_claims_far_more_than_it_has_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", b"x")
        archive.writestr("bomb/data/0", bytes(65 << 20))
    monkeypatch.setattr(torch, "load", None)
    assert "claims to hold" in _refused(path).message


def test_few_numbers_that_pose_as_many_are_refused(tmp_path: Path) -> None:
    """A tensor may repeat one number for ever; its shape is then all there is."""
    torch.save({"inc.double_conv.0.weight": torch.zeros(1).expand(1 << 40)}, tmp_path / "net.pth")
    assert "describes 4096.0 GiB" in _refused(tmp_path / "net.pth").message


@pytest.mark.parametrize(
    "tensor",
    [torch.zeros(2, device="meta"), torch.zeros(2, dtype=torch.complex64), torch.zeros(2, 2).to_sparse()],
    ids=["without numbers", "complex", "sparse"],
)
def test_tensors_of_special_forms_are_refused(tmp_path: Path, tensor: torch.Tensor) -> None:
    torch.save({"state_dict": {"odd.weight": tensor}}, tmp_path / "net.pth")
    assert "odd.weight in a form" in _refused(tmp_path / "net.pth").message


def test_containers_inside_each_other_are_counted_and_not_followed_for_ever(tmp_path: Path) -> None:
    nest: list[Any] = [torch.zeros(1)]
    for _ in range(60):
        nest = [nest, nest]
    nest.append(nest)
    torch.save({"state_dict": _unet_state(), "extra": nest}, tmp_path / "net.pth")
    assert load_model(tmp_path / "net.pth").loaded.head == "checkpoint"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_weight_that_is_no_number_is_named(tmp_path: Path, value: float) -> None:
    state = _unet_state()
    state["up2.conv.double_conv.3.weight"][0, 0, 1, 1] = value
    torch.save(state, tmp_path / "net.pth")
    assert "up2.conv.double_conv.3.weight holds values" in _refused(tmp_path / "net.pth").message


def test_missing_and_mis_shaped_tensors_are_named_as_in_the_file(tmp_path: Path) -> None:
    net = build("deeplabv2", classes=2, options={"thin": 16, "align_corners": True})
    state = {
        "Scale." + key.removeprefix("trunk.").replace("aspp.c", "layer5.conv2d_list."): value
        for key, value in net.state_dict().items()
    }
    torch.save(state, tmp_path / "net.pth")
    assert load_model(tmp_path / "net.pth").loaded.head == "checkpoint"
    key = "Scale.layer3.4.conv2.weight"
    torch.save({**state, key: torch.zeros(1, 2)}, tmp_path / "net.pth")
    assert f"{key} is (1, 2) instead of (16, 16, 3, 3)" in _refused(tmp_path / "net.pth").message
    short = {name: value for name, value in state.items() if not name.startswith("Scale.layer4.2.conv")}
    torch.save(short, tmp_path / "net.pth")
    message = _refused(tmp_path / "net.pth").message
    assert "lacks 3 tensors, the first of them" in message
    assert "layer4.2.conv1.weight" in message
    torch.save({**state, "Scale.layer9.weight": torch.zeros(1)}, tmp_path / "net.pth")
    assert "has an unknown tensor Scale.layer9.weight" in _refused(tmp_path / "net.pth").message


def test_what_memory_cannot_hold_is_said_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")

    torch.save(HALF_A_NETWORK, tmp_path / "net.pth")
    monkeypatch.setattr(torch, "load", full)
    assert "memory does not suffice" in _refused(tmp_path / "net.pth").message


def _as_zip(state: dict[str, torch.Tensor]) -> bytes:
    buffer = io.BytesIO()
    torch.save({"epoch": 3, "state_dict": state}, buffer)
    return buffer.getvalue()


def _as_old_format(state: dict[str, torch.Tensor]) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def _as_own(state: dict[str, torch.Tensor], path: Path) -> bytes:
    net = build("unet", classes=2, options={"width": 1})
    net.load_state_dict(state)
    save_checkpoint(net, path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    state = _unet_state()
    return {
        "zip": _as_zip(state),
        "old": _as_old_format(state),
        "safetensors": safetensors.torch.save(state),
        "own": _as_own(state, tmp_path_factory.mktemp("own") / "net.pt"),
    }


@pytest.mark.parametrize("form", ["zip", "old", "safetensors", "own"])
def test_every_readable_form_loads(samples: dict[str, bytes], tmp_path: Path, form: str) -> None:
    (tmp_path / "net.pth").write_bytes(samples[form])
    net = load_model(tmp_path / "net.pth")
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in _unet_state().items())


@pytest.mark.parametrize("form", ["zip", "old", "safetensors", "own"])
@settings(max_examples=25, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_loads_or_is_refused_but_never_anything_else(
    samples: dict[str, bytes], tmp_path: Path, form: str, data: st.DataObject
) -> None:
    content = bytearray(samples[form])
    # Descriptions lie at the beginning and at the end; in between are numbers, where a flip is just another number.
    edge = min(len(content), 6000)
    place = st.one_of(st.integers(0, edge - 1), st.integers(len(content) - edge, len(content) - 1))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    for index in data.draw(st.lists(place, max_size=8)):
        if index < len(content):
            content[index] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path / "net.pth"
    path.write_bytes(content)
    try:
        load_model(path)
    except ModelError as error:
        assert "net.pth" in error.message or "family" in error.message or "U-Net" in error.message
