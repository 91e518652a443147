"""Networks of segmentation_models_pytorch give its numbers, and its files are recognised with their encoder."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from published import assert_equal_outputs, described_keys, fixed_state, shapes_only

from segstudio.core.errors import ModelError
from segstudio.nets.blocks import GlobalPool
from segstudio.nets.card import list_cards, shipped_cards
from segstudio.nets.families import smp_nets
from segstudio.nets.families.smp_nets import MODELS
from segstudio.nets.importers.rules import recognise
from segstudio.nets.registry import build, create_model

smp = pytest.importorskip("segmentation_models_pytorch", reason="the extra segstudio[smp] is not installed")

CARDS = [card.id for card in list_cards(shipped_cards()).cards if card.family == "smp"]


def _original(model: str, encoder: str = "resnet34", **options: Any) -> Any:
    return getattr(smp, MODELS[model].name)(encoder, encoder_weights=None, classes=21, **options)


def _meta_state(model: str, encoder: str = "resnet34", **options: Any) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        return dict(_original(model, encoder, **options).state_dict())


@pytest.mark.parametrize("name", CARDS)
def test_network_gives_the_numbers_of_the_library(name: str) -> None:
    with torch.device("meta"):
        net = create_model(name).eval()
        original = _original(str(net.options["model"])).eval()
    state = fixed_state({key: tuple(value.shape) for key, value in original.state_dict().items()}, gain=0.7)
    for module in (original, net):
        torch.nn.Module.load_state_dict(module, state, assign=True)
    x = torch.randn(1, 3, 65, 97, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert_equal_outputs(net(x[..., :64, :96]).numpy(), original(x[..., :64, :96]).numpy())
        period = original.encoder.output_stride if original.requires_divisible_input_shape else 1
        bottom, right = -65 % period, -97 % period
        whole = torch.nn.functional.pad(x, (0, right, 0, bottom), mode="replicate")
        assert_equal_outputs(net(x).numpy(), original(whole)[..., :65, :97].numpy())


def test_only_the_mean_of_the_whole_image_is_shared_between_tiles() -> None:
    pools = {}
    for model in MODELS:
        with torch.device("meta"):
            net = build("smp", classes=2, options={"model": model})
        pools[model] = sum(isinstance(module, GlobalPool) for module in net.modules())
        left = [module.output_size for module in net.modules() if isinstance(module, torch.nn.AdaptiveAvgPool2d)]
        assert left == ([(2, 2), (3, 3), (6, 6)] if model == "pspnet" else [])
    assert pools == {"unet": 0, "fpn": 0, "pspnet": 1, "deeplabv3": 1, "deeplabv3plus": 1}


def test_stages_that_a_shallow_network_does_not_use_do_not_learn() -> None:
    with torch.device("meta"):
        net = create_model("smp-pspnet-resnet34")
    learning = {
        name.split(".")[1] for name, p in net.named_parameters() if name.startswith("encoder") and p.requires_grad
    }
    assert learning == {"conv1", "bn1", "layer1", "layer2"}


def test_imagenet_fills_the_encoder() -> None:
    net = create_model("smp-unet-resnet34", classes=2)
    assert net.imagenet == "ResNet34_Weights.IMAGENET1K_V1"
    shapes = {key: value.shape for key, value in net.encoder.state_dict().items()}  # type: ignore[union-attr]
    state = {key: torch.ones(shape) for key, shape in shapes.items()}
    net.load_imagenet({**state, "fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)})
    assert bool((net.get_parameter("encoder.layer4.2.conv2.weight") == 1).all())


def test_missing_library_is_one_sentence_that_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ModelError, match=r"install segstudio\[smp\]"):
        smp_nets.SmpNet(classes=2)


@pytest.mark.parametrize(
    ("options", "said"),
    [({"model": "linknet"}, "no network"), ({"encoder": "resnet35"}, "resnet35"), ({"depth": 9}, "9")],
)
def test_what_the_library_cannot_build_is_refused_in_a_sentence(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        build("smp", classes=2, options=options)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("Unet_resnet34", {"model": "unet", "encoder": "resnet34"}),
        ("FPN_resnet34", {"model": "fpn", "encoder": "resnet34"}),
        ("PSPNet_resnet34", {"model": "pspnet", "encoder": "resnet34"}),
        ("DeepLabV3_resnet34", {"model": "deeplabv3", "encoder": "resnet34"}),
        ("DeepLabV3Plus_resnet101", {"model": "deeplabv3plus", "encoder": "resnet101"}),
    ],
)
def test_described_checkpoint_is_recognised_with_its_encoder(name: str, options: dict[str, Any]) -> None:
    keys = described_keys("smp").get(name)
    if keys is None:
        pytest.skip("the key dumps are not beside this checkout")
    found = recognise(shapes_only(keys), Path("best_model.pth"))
    assert (found.family, found.classes, dict(found.options)) == ("smp", 21, {**options, "depth": 0})


@pytest.mark.parametrize("name", ["UnetPlusPlus", "Linknet", "PAN", "MAnet"])
def test_networks_there_are_none_of_here_are_refused_by_name(name: str) -> None:
    with torch.device("meta"):
        state = getattr(smp, name)("resnet34", encoder_weights=None, classes=3).state_dict()
    with pytest.raises(ModelError, match=f"is a {name} of"):
        recognise(state, Path("best_model.pth"))


@pytest.mark.parametrize(
    ("model", "depth", "options"),
    [
        ("unet", 4, {"encoder_depth": 4, "decoder_channels": (256, 128, 64, 32)}),
        ("fpn", 4, {"encoder_depth": 4}),
        ("pspnet", 5, {"encoder_depth": 5}),
    ],
)
def test_depth_follows_from_the_decoder(model: str, depth: int, options: dict[str, Any]) -> None:
    found = recognise(_meta_state(model, "resnet18", **options), Path("best_model.pth"))
    assert dict(found.options) == {"model": model, "encoder": "resnet18", "depth": depth}
    with torch.device("meta"):
        net = build("smp", classes=21, options=found.options)
    assert {key: value.shape for key, value in found.state.items()} == {
        key: value.shape for key, value in net.state_dict().items() if not key.endswith("num_batches_tracked")
    }


def test_old_decoder_names_and_an_image_classifier_are_taken_care_of() -> None:
    state = _meta_state("deeplabv3", aux_params={"classes": 4})
    old = {"decoder.aspp.": "decoder.0.", "decoder.conv.": "decoder.1.", "decoder.bn.": "decoder.2."}
    renamed = {}
    for key, value in state.items():
        ours = next((name for name in old if key.startswith(name)), "")
        renamed[old.get(ours, "") + key.removeprefix(ours)] = value
    found = recognise(renamed, Path("best_model.pth"))
    assert found.keys["decoder.conv.weight"] == "decoder.1.weight"
    assert dict(found.dropped)["tensors of an image classifier"] == 2
    assert "decoder.aspp.project.0.weight" in found.state


def test_unknown_encoder_or_input_is_refused_and_asks_for_a_card() -> None:
    state = _meta_state("unet", in_channels=4)
    with pytest.raises(ModelError, match="encoder that is not recognised") as caught:
        recognise(state, Path("best_model.pth"))
    assert "--as" in caught.value.hint


def test_settings_of_the_model_hub_name_the_encoder_and_what_cannot_be_rebuilt(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    state = {key: torch.zeros(value.shape) for key, value in _meta_state("fpn", "resnet18").items()}
    safetensors.torch.save_file(state, path)
    settings = {"_model_class": "FPN", "encoder_name": "resnet18", "decoder_merge_policy": "add", "classes": 21}
    (tmp_path / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    assert recognise(state, path).options["encoder"] == "resnet18"
    settings["decoder_interpolation"] = "bilinear"
    (tmp_path / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(ModelError, match="decoder_interpolation = 'bilinear'"):
        recognise(state, path)
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    assert recognise(state, path).options["encoder"] == "resnet18"
