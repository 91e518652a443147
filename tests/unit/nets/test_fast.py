"""The fast twin of a network computes what the network computes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from segstudio.nets import devices
from segstudio.nets.fast import arithmetic as module
from segstudio.nets.fast.arithmetic import Arithmetic, arithmetic_for, candidates
from segstudio.nets.fast.conv import FusedConv, PackedConv, UnfoldedConv, folded, packs, unfolds
from segstudio.nets.fast.fuse import FusedBlock, twin
from segstudio.nets.fast.winograd import DilatedConv, WinogradConv, winograd_fits
from segstudio.nets.registry import create_model

CPU = torch.device("cpu")
PLAIN, PACKED = Arithmetic(), Arithmetic(packed=True)
WINOGRAD = Arithmetic(packed=True, winograd=True)
NETS = {
    "fcn8s": {"thin": 2},
    "deeplabv2-resnet101": {"thin": 4},
    "unet": {"width": 64},
    "deeplabv3plus-resnet50": {"thin": 4},
    "deconvnet": {"thin": 16},
}


def _difference(got: torch.Tensor, want: torch.Tensor) -> float:
    return float((got - want).abs().max() / want.abs().max())


def _shaken(net: nn.Module) -> nn.Module:
    """Normalisation as after training: statistics, scales and shifts that are not the neutral ones."""
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            layer.running_mean.normal_(std=0.1)
            layer.running_var.uniform_(0.5, 1.5)
            with torch.no_grad():
                layer.weight.mul_(torch.rand_like(layer.weight) + 0.5)
                layer.bias.normal_(std=0.1)
    return net


@pytest.mark.parametrize("name", list(NETS))
@pytest.mark.parametrize("how", [PLAIN, PACKED, WINOGRAD], ids=["plain", "packed", "winograd"])
def test_a_twin_gives_the_networks_logits_and_leaves_it_as_it_was(name: str, how: Arithmetic) -> None:
    if how.packed and not packs(CPU, torch.float32):
        pytest.skip("this processor's torch has no oneDNN")
    torch.manual_seed(0)
    net = create_model(name, classes=3, **NETS[name])
    _shaken(net)
    for parameter_name, parameter in net.named_parameters():
        if parameter_name.startswith(net.head_prefixes) and parameter.ndim == 4 and parameter.requires_grad:
            nn.init.normal_(parameter, std=0.1)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    x = torch.randn(1, 3, 75, 101)
    with torch.inference_mode():
        got = twin(net, how.make)(x)
        want = net.eval()(x)
    assert _difference(got, want) < 1e-4
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_residual_blocks_and_convolutions_are_all_replaced() -> None:
    net = twin(create_model("deeplabv2-resnet101", classes=3, thin=16), PLAIN.make)
    kinds = [type(layer) for layer in net.modules()]
    assert kinds.count(FusedBlock) == 33
    assert nn.Conv2d not in kinds
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in net.modules())


def test_a_consumed_network_holds_its_convolutions_no_longer() -> None:
    net = create_model("fcn8s", classes=3, thin=8)
    before = sum(parameter.numel() for parameter in net.parameters())
    fast = twin(net, PLAIN.make, release=True)
    assert sum(parameter.numel() for parameter in net.parameters()) < before / 20
    with torch.inference_mode():
        assert bool(fast(torch.randn(1, 3, 40, 40)).isfinite().all())


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("size", "stride", "padding"), [(2, 2, 0), (4, 4, 0), (3, 1, 1), (3, 1, 0)], ids=["x2", "x4", "same", "full"]
)
def test_a_transposed_convolution_folds_with_its_normalisation(
    size: int, stride: int, padding: int, *, bias: bool
) -> None:
    torch.manual_seed(1)
    net = nn.Sequential(nn.ConvTranspose2d(6, 5, size, stride=stride, padding=padding, bias=bias), nn.BatchNorm2d(5))
    _shaken(net).eval()
    x = torch.randn(2, 6, 7, 9)
    what = folded(net[0], net[1])
    made = FusedConv(what, relu=False, dtype=torch.float32)
    with torch.inference_mode():
        got = made(x)
        if stride > 1:
            got = nn.functional.pixel_shuffle(got, stride)
        assert _difference(got, net(x)) < 1e-5


@pytest.mark.parametrize("summed", [True, False])
@pytest.mark.parametrize(
    ("height", "width", "dilation", "padding"),
    [(31, 45, 1, 1), (1, 1, 1, 1), (7, 5, 2, 2), (50, 63, 4, 4), (30, 41, 1, 0), (30, 41, 2, 0), (11, 40, 12, 12)],
)
def test_winograd_gives_the_direct_convolution(
    height: int, width: int, dilation: int, padding: int, *, summed: bool
) -> None:
    torch.manual_seed(2)
    conv = nn.Conv2d(64, 80, 3, padding=padding, dilation=dilation)
    assert winograd_fits(folded(conv))
    direct = FusedConv(folded(conv), relu=True, dtype=torch.float32)
    ours = WinogradConv(folded(conv), relu=True, dtype=torch.float32)
    x = torch.randn(2, 64, height, width)
    with torch.inference_mode():
        want = direct(x)
        summand = torch.randn_like(want) if summed else None
        want = direct(x, summand)
        assert _difference(ours(x, summand), want) < 5e-5


@pytest.mark.parametrize(("side", "transformed"), [(36, True), (11, False)])
def test_a_dilated_convolution_takes_the_way_that_suits_the_size(side: int, *, transformed: bool) -> None:
    torch.manual_seed(4)
    conv = nn.Conv2d(64, 64, 3, padding=9, dilation=9)
    ours = DilatedConv(folded(conv), relu=True, dtype=torch.float32)
    x = torch.randn(1, 64, side, side)
    with torch.inference_mode():
        want = FusedConv(folded(conv), relu=True, dtype=torch.float32)(x, conv(x))
        assert _difference(ours(x, conv(x)), want) < 5e-5
    assert any(isinstance(part, WinogradConv) for part in ours.modules()) == transformed


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(3, 64, 3, padding=1),
        nn.Conv2d(64, 32, 3, padding=1),
        nn.Conv2d(64, 64, 1),
        nn.Conv2d(64, 64, 3, stride=2),
        nn.Conv2d(64, 64, 3, groups=64),
        nn.Conv2d(64, 21, 3),
    ],
)
def test_winograd_leaves_other_convolutions_alone(conv: nn.Conv2d) -> None:
    assert not winograd_fits(folded(conv))


def test_a_packed_convolution_follows_the_size_of_its_input() -> None:
    torch.manual_seed(3)
    conv = nn.Conv2d(64, 32, 1, stride=2)
    ours = PackedConv(folded(conv), relu=False, dtype=torch.float32)
    with torch.inference_mode():
        for side in (1, 5, 8, 13, 21, 5):
            x = torch.randn(1, 64, side, side + 3)
            assert _difference(ours(x), conv(x)) < 1e-5


def test_a_large_filter_is_one_matrix_product() -> None:
    torch.manual_seed(4)
    conv = nn.Conv2d(16, 24, 7)
    assert unfolds(folded(conv))
    ours = UnfoldedConv(folded(conv), relu=True, dtype=torch.float32)
    x = torch.randn(2, 16, 9, 12)
    summand = torch.randn(2, 24, 3, 6)
    with torch.inference_mode():
        assert _difference(ours(x, summand), (conv(x) + summand).relu()) < 1e-5


@pytest.mark.skipif(not packs(CPU, torch.bfloat16), reason="this processor's torch cannot pack bfloat16")
def test_bfloat16_stays_close_to_float32() -> None:
    conv = nn.Conv2d(16, 32, 3, padding=1)
    x = torch.randn(1, 16, 20, 30)
    with torch.inference_mode():
        got = PackedConv(folded(conv), relu=False, dtype=torch.bfloat16)(x)
        assert got.dtype == torch.bfloat16
        assert _difference(got.float(), conv(x)) < 0.02


def test_the_choice_is_measured_once_and_remembered(segstudio_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    races: list[int] = []

    def race(choices: list[Arithmetic], _device: torch.device) -> list[float]:
        races.append(len(choices))
        return [1.0] * (len(choices) - 1) + [0.5]

    monkeypatch.setattr(module, "_KNOWN", {})
    monkeypatch.setattr(module, "_race", race)
    monkeypatch.setattr(module, "candidates", lambda _device: [PLAIN, PACKED, WINOGRAD])
    assert arithmetic_for(CPU) == WINOGRAD
    monkeypatch.setattr(module, "_KNOWN", {})
    assert arithmetic_for(CPU) == WINOGRAD
    assert races == [3]
    (path,) = segstudio_home.rglob("arithmetic.json")
    assert list(json.loads(path.read_text())[next(iter(json.loads(path.read_text())))].values()) == [
        "float32", True, True
    ]  # fmt: skip
    path.write_text("{ damaged")
    monkeypatch.setattr(module, "_KNOWN", {})
    assert arithmetic_for(CPU) == WINOGRAD
    assert races == [3, 3]


def test_a_small_gain_does_not_pay_for_fewer_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KNOWN", {})
    monkeypatch.setattr(module, "_race", lambda _choices, _device: [1.0, 0.95])
    monkeypatch.setattr(module, "candidates", lambda _device: [PACKED, Arithmetic(dtype="bfloat16", packed=True)])
    assert arithmetic_for(CPU) == PACKED


def test_every_candidate_of_this_processor_can_be_raced() -> None:
    choices = candidates(CPU)
    seconds = module._race(choices, CPU)
    assert len(seconds) == len(choices)
    assert all(0 < taken < 60 for taken in seconds)


def test_memory_is_given_back_in_tiles_and_kept_again_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[int, int]] = []

    class Library:
        @staticmethod
        def mallopt(option: int, value: int) -> int:
            said.append((option, value))
            return 1

    monkeypatch.setattr(devices.ctypes, "CDLL", lambda _name: Library)
    monkeypatch.setattr(devices.sys, "platform", "linux")
    monkeypatch.delenv("MALLOC_MMAP_THRESHOLD_", raising=False)
    with devices.giving_back():
        assert said == []
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", str(1 << 30))
    with pytest.raises(RuntimeError), devices.giving_back():
        assert said == [(-3, 16 << 20)]
        raise RuntimeError
    assert said == [(-3, 16 << 20), (-3, 1 << 30)]
