"""torchvision's segmentation networks give its numbers under its names, and share means between tiles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from published import assert_equal_outputs, described_keys, fixed_state, shapes_only

from segstudio.core.errors import ModelError
from segstudio.nets.blocks import GlobalPool, PooledBatchNorm2d
from segstudio.nets.card import list_cards, shipped_cards
from segstudio.nets.families.torchvision_nets import MODELS
from segstudio.nets.importers.rules import recognise
from segstudio.nets.registry import build, create_model

CARDS = [card for card in list_cards(shipped_cards()).cards if card.family == "torchvision"]


def _original(model: str, *, aux: bool) -> Any:
    options = {"aux_loss": True} if aux else {}
    return torchvision.models.get_model(model, weights=None, weights_backbone=None, num_classes=21, **options)


@pytest.mark.parametrize("card", CARDS, ids=lambda card: str(card.id))
def test_network_gives_the_numbers_of_torchvision(card: Any) -> None:
    model, aux = card.options["model"], card.options["aux"]
    with torch.device("meta"):
        original, net = _original(model, aux=aux).eval(), create_model(card.id).eval()
    state = fixed_state({key: tuple(value.shape) for key, value in original.state_dict().items()}, gain=0.7)
    for module in (original, net):
        module.load_state_dict(state, assign=True)
    x = torch.randn(1, 3, 65, 97, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        theirs = original(x)
        assert_equal_outputs(net(x).numpy(), theirs["out"].numpy())
        outputs = net.training_outputs(x)
    assert [out.weight for out in outputs] == [1.0, 0.5][: 1 + aux]
    for out, name in zip(outputs, ("out", "aux"), strict=False):
        assert_equal_outputs(out.logits.numpy(), theirs[name].numpy())


def test_cards_name_the_published_weights_and_classes() -> None:
    assert {card.options["model"] for card in CARDS} == set(MODELS)
    for card in CARDS:
        assert card.weights is not None
        assert card.weights.torchvision is not None
        published = torchvision.models.get_weight(card.weights.torchvision)
        assert (published.meta["num_params"], len(published.meta["categories"])) == (card.parameters, 21)
        assert card.trained
        assert f"{published.meta['_metrics']['COCO-val2017-VOC-labels']['miou']}" in card.merit
        assert str(card.options["model"]) in published.url
        # torchvision writes __background__; the other names are those of the data set.
        assert list(card.classes[1:]) == published.meta["categories"][1:]


def test_every_pool_over_the_image_is_shared_between_tiles() -> None:
    counts = {}
    for model, facts in MODELS.items():
        with torch.device("meta"):
            net = build("torchvision", classes=21, options={"model": model, "aux": facts.has_aux})
        assert not any(isinstance(module, torch.nn.AdaptiveAvgPool2d) for module in net.modules())
        counts[model] = [
            sum(isinstance(module, kind) for module in net.modules()) for kind in (GlobalPool, PooledBatchNorm2d)
        ]
    assert counts == {
        "fcn_resnet50": [0, 0],
        "fcn_resnet101": [0, 0],
        "deeplabv3_resnet50": [1, 1],
        "deeplabv3_resnet101": [1, 1],
        "deeplabv3_mobilenet_v3_large": [9, 1],
        "lraspp_mobilenet_v3_large": [9, 0],
    }


def test_auxiliary_head_learns_ten_times_as_fast() -> None:
    groups = create_model("tv-fcn-resnet50", thin=16).parameter_groups(0.02, 1e-4)
    assert [(group["name"], group["lr_scale"]) for group in groups] == [
        ("backbone and classifier", 1.0),
        ("auxiliary head", 10.0),
    ]
    assert len(create_model("tv-fcn-resnet50", thin=16, aux=False).parameter_groups(0.02, 1e-4)) == 1


@pytest.mark.parametrize(
    ("model", "backbone"), [("fcn_resnet50", "resnet50"), ("lraspp_mobilenet_v3_large", "mobilenet_v3_large")]
)
def test_imagenet_fills_the_whole_backbone(model: str, backbone: str) -> None:
    net = build("torchvision", classes=2, options={"model": model, "aux": False})
    assert net.imagenet == MODELS[model].imagenet
    with torch.device("meta"):
        source = torchvision.models.get_model(backbone, weights=None).state_dict()
    net.load_imagenet({key: torch.full(value.shape, 7.0) for key, value in source.items()})
    assert all(bool((value == 7).all()) for value in net.backbone.state_dict().values())  # type: ignore[union-attr]


def test_network_without_auxiliary_head_refuses_one() -> None:
    with pytest.raises(ModelError, match="no auxiliary head"):
        build("torchvision", classes=2, options={"model": "lraspp_mobilenet_v3_large", "aux": True})
    with pytest.raises(ModelError, match="no network"):
        build("torchvision", classes=2, options={"model": "unet"})


@pytest.mark.parametrize("model", MODELS)
def test_described_checkpoint_is_recognised(model: str) -> None:
    keys = described_keys("tv").get(model)
    if keys is None:
        pytest.skip("the key dumps are not beside this checkout")
    found = recognise(shapes_only(keys), Path(f"{model}_coco.pth"))
    assert (found.family, found.classes, found.class_names[20]) == ("torchvision", 21, "tvmonitor")
    assert found.options == {"model": model, "aux": MODELS[model].has_aux}
    without = {key: value for key, value in shapes_only(keys).items() if not key.startswith("aux_classifier.")}
    assert recognise(without, Path("own.pth")).options == {"model": model, "aux": False}
