from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from segstudio.core.errors import ModelError
from segstudio.nets.card import ModelCard, WeightsRef, file_sha256, save_card
from segstudio.nets.checkpoint import load_model, save_checkpoint
from segstudio.nets.registry import create_model


class _Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("run",))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    net = create_model("unet", classes=2, width=2)
    net.class_names = ("background", "cell")
    save_checkpoint(net, tmp_path / "net.pt")
    return tmp_path / "net.pt"


def test_checkpoint_brings_its_options_and_class_names(saved: Path) -> None:
    net = load_model(saved)
    assert (net.family, net.options["width"], net.classes) == ("unet", 2, 2)
    assert net.class_names == net.card.classes == ("background", "cell")
    assert not net.training


def test_no_random_number_is_drawn_for_weights_that_the_file_brings(saved: Path) -> None:
    before = torch.random.get_rng_state()
    net = load_model(saved)
    assert torch.equal(before, torch.random.get_rng_state())
    assert {tensor.device.type for tensor in net.state_dict().values()} == {"cpu"}
    load_model(saved, classes=5)  # its new head is random
    assert not torch.equal(before, torch.random.get_rng_state())


def test_half_precision_checkpoint_is_smaller_and_nearly_equal(tmp_path: Path, saved: Path) -> None:
    net = load_model(saved)
    save_checkpoint(net, tmp_path / "half.pt", half=True)
    again = load_model(tmp_path / "half.pt")
    x = torch.rand(1, 3, 40, 40)
    with torch.inference_mode():
        assert torch.allclose(net(x), again(x), atol=2e-2)
    assert next(again.parameters()).dtype == torch.float32


def test_checkpoint_with_code_is_refused_and_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"format": "segstudio-checkpoint", "state": _Harmful()}, tmp_path / "bad.pt")
    with pytest.raises(ModelError, match="program code"):
        load_model(tmp_path / "bad.pt")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("keep", [0, 3, 100, 5000])
def test_cut_checkpoint_is_refused_in_one_sentence(saved: Path, keep: int) -> None:
    saved.write_bytes(saved.read_bytes()[:keep])
    with pytest.raises(ModelError, match=r"net\.pt is damaged"):
        load_model(saved)


def test_random_bytes_and_other_content_are_refused(tmp_path: Path) -> None:
    (tmp_path / "noise.pt").write_bytes(bytes(range(256)) * 20)
    with pytest.raises(ModelError, match=r"noise\.pt"):
        load_model(tmp_path / "noise.pt")
    torch.save({"a": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(ModelError, match="not a checkpoint of a known network"):
        load_model(tmp_path / "other.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(ModelError, match="no network"):
        load_model(tmp_path / "list.pt")


def test_mis_shaped_missing_and_unknown_tensors_are_named(saved: Path) -> None:
    data = torch.load(saved, weights_only=True)
    key = "down1.maxpool_conv.1.double_conv.0.weight"
    for change, match in (
        ({key: torch.zeros(1)}, "instead of"),
        ({key: None}, "lacks"),
        ({"extra": torch.zeros(1)}, "unknown"),
    ):
        state = {name: value for name, value in {**data["state"], **change}.items() if value is not None}
        torch.save({**data, "state": state}, saved)
        with pytest.raises(ModelError, match=match):
            load_model(saved)


@pytest.mark.parametrize(
    "change", [{"version": 99}, {"classes": "2"}, {"family": "x"}, {"options": {"width": 10**9}}, {"state": 3}]
)
def test_checkpoint_whose_description_is_wrong_is_refused(saved: Path, change: dict[str, object]) -> None:
    torch.save({**torch.load(saved, weights_only=True), **change}, saved)
    with pytest.raises(ModelError):
        load_model(saved)


def test_card_with_a_weight_file_loads_it(saved: Path) -> None:
    card = ModelCard(
        id="cells",
        family="unet",
        options={"width": 2},
        classes=("background", "cell"),
        weights=WeightsRef(file="net.pt", sha256=file_sha256(saved)),
        trained=True,
    )
    path = saved.with_name("cells.toml")
    card = save_card(card, path)
    for source in (card, path, str(path)):
        net = load_model(source)
        assert (net.card.id, net.loaded.head) == ("cells", "checkpoint")
    wrong = save_card(dataclasses.replace(card, family="fcn", options={}), path)
    with pytest.raises(ModelError, match="describes fcn"):
        load_model(wrong)


def test_shipped_card_without_weights_says_that_it_is_untrained() -> None:
    net = load_model("unet-small", classes=4)
    assert (net.classes, net.loaded.trunk, net.loaded.head) == (4, "random", "random")
    assert "not trained" in net.loaded.note


@pytest.mark.parametrize("name", ["no-such-model", "/nowhere/net.pt", "/nowhere/card.toml"])
def test_nothing_there_is_one_sentence(name: str) -> None:
    with pytest.raises(ModelError):
        load_model(name)


def test_old_published_unet_with_convolution_biases_gives_the_same_output(saved: Path, tmp_path: Path) -> None:
    net = load_model(saved)
    state = {key: value.clone() for key, value in net.state_dict().items()}
    for key in [key for key in state if key.endswith(("double_conv.0.weight", "double_conv.3.weight"))]:
        bias = torch.randn(state[key].shape[0])
        stem, index, _ = key.rsplit(".", 2)
        state[f"{stem}.{index}.bias"] = bias
        state[f"{stem}.{int(index) + 1}.running_mean"] += bias
    torch.save({**state, "mask_values": [0, 1]}, tmp_path / "old.pth")
    old = load_model(tmp_path / "old.pth")
    x = torch.rand(1, 3, 40, 40)
    with torch.inference_mode():
        assert torch.allclose(net(x), old(x), atol=1e-4)
