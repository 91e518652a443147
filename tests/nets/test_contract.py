"""What every registered network owes."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Iterator

import pytest
import torch
import torchvision

from segstudio.core.errors import ModelError
from segstudio.nets.base import SegmentationNet, shrunk_labels
from segstudio.nets.blocks import FrozenBatchNorm2d
from segstudio.nets.card import list_cards, shipped_cards
from segstudio.nets.checkpoint import load_model, save_checkpoint
from segstudio.nets.preprocess import PROFILES
from segstudio.nets.registry import FAMILIES, create_model, family_class
from segstudio.nets.registry_names import FAMILY_NAMES, PROFILE_NAMES, OptionValue

CLASSES = 3
CARDS = {card.id: card for card in list_cards(shipped_cards()).cards if card.family in FAMILIES}
_SMP_MISSING = pytest.mark.skipif(
    importlib.util.find_spec("segmentation_models_pytorch") is None, reason="the extra segstudio[smp] is not installed"
)
EACH_CARD = [pytest.param(name, marks=_SMP_MISSING if card.family == "smp" else ()) for name, card in CARDS.items()]
# Published counts, or counted on the published code, with 21 classes.
PARAMETERS = {
    "unet": 31_038_933,
    "unet-small": 1_942_917,
    "unet-bilinear": 17_264_277,
    "unet-original": 31_033_045,
    "objects-unet-small": 1_942_917,
    "fcn32s": 136_152_917,
    "fcn16s": 134_815_994,
    "fcn8s": 134_489_759,
    "fcn8s-atonce": 134_489_759,
    "parsenet": 20_529_002,
    "deeplabv1": 65_140_565,
    "deeplabv1-7x7": 134_346_581,
    "deeplabv1-largefov": 20_505_429,
    "deeplabv1-msc": 66_346_581,
    "deeplabv1-msc-largefov": 21_711_445,
    "deeplabv2-vgg16-largefov": 20_505_429,
    "deeplabv2-vgg16-aspp-s": 37_877_652,
    "deeplabv2-vgg16-aspp-l": 37_877_652,
    "deeplabv2-resnet101-largefov": 42_887_253,
    "deeplabv2-resnet101": 44_048_532,
    "deconvnet": 251_805_653,
    "edeconvnet": 386_295_412,
    "hypercolumn": 137_718_044,
    "deeplabv3-resnet50": 39_048_533,
    "deeplabv3-resnet50-os8": 39_048_533,
    "deeplabv3-resnet101": 58_040_661,
    "deeplabv3-resnet101-os8": 58_040_661,
    "deeplabv3plus-resnet50": 40_352_181,
    "deeplabv3plus-resnet101": 59_344_309,
    "deeplabv3plus-resnet101-os8": 59_344_309,
    "deeplabv3plus-resnet101-separable": 45_688_261,
    "deeplabv3plus-xception65": 41_055_413,
    "deeplabv3plus-xception65-os8": 41_055_413,
    "tv-fcn-resnet50": 35_322_218,
    "tv-fcn-resnet101": 54_314_346,
    "tv-deeplabv3-resnet50": 42_004_074,
    "tv-deeplabv3-resnet101": 60_996_202,
    "tv-deeplabv3-mobilenet": 11_029_328,
    "tv-lraspp-mobilenet": 3_221_538,
    "smp-unet-resnet34": 24_439_269,
    "smp-fpn-resnet34": 23_157_973,
    "smp-pspnet-resnet34": 21_530_165,
    "smp-deeplabv3-resnet34": 26_012_245,
    "smp-deeplabv3plus-resnet34": 22_442_597,
}


def _narrow(name: str) -> dict[str, OptionValue]:
    """Options that make the network of a card small where its family can be narrowed."""
    known = inspect.signature(family_class(CARDS[name].family)).parameters
    return {"width": 4} if "width" in known else {"thin": 16} if "thin" in known else {}


@pytest.fixture(scope="module", params=EACH_CARD)
def net(request: pytest.FixtureRequest) -> Iterator[SegmentationNet]:
    """The network of a card, with its layers narrowed where that is possible: what is tested here is structure."""
    torch.manual_seed(0)
    model = create_model(request.param, classes=CLASSES, **_narrow(request.param))
    for name, parameter in model.named_parameters():
        # Published heads start at zero, which would hide any difference between outputs.
        if name.startswith(model.head_prefixes) and parameter.ndim == 4 and parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.02)
    yield model


def _input(height: int, width: int) -> torch.Tensor:
    return torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(height * width))


def test_names_known_without_torch_are_those_of_the_registry() -> None:
    assert set(FAMILIES) == set(FAMILY_NAMES)
    assert tuple(PROFILES) == PROFILE_NAMES
    assert set(PARAMETERS) == set(CARDS)


@pytest.mark.parametrize(
    "family", [pytest.param(name, marks=_SMP_MISSING if name == "smp" else ()) for name in FAMILIES]
)
def test_every_family_has_a_class_that_knows_its_name_and_a_card(family: str) -> None:
    assert family_class(family).family == family
    assert family in {card.family for card in CARDS.values()}


@pytest.mark.parametrize("name", EACH_CARD)
def test_parameter_count_is_the_published_one(name: str) -> None:
    with torch.device("meta"):
        model = create_model(name, classes=21)
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[name]
    assert model.card.parameters == PARAMETERS[name]
    assert CARDS[name].parameters == PARAMETERS[name] or CARDS[name].classes


@pytest.mark.parametrize("name", EACH_CARD)
def test_full_size_network_scores_every_pixel_of_any_image(name: str) -> None:
    """On torch's meta device: shapes are computed, numbers are not."""
    with torch.device("meta"):
        model = create_model(name, classes=21).eval()
        for height, width in ((1, 1), (33, 47), (101, 334), (375, 500), (768, 1024), (1024, 768)):
            assert model(torch.zeros(1, 3, height, width)).shape == (1, 21, height, width)


@pytest.mark.parametrize("name", EACH_CARD)
@pytest.mark.parametrize("classes", [2, 255])
def test_full_size_network_takes_any_number_of_classes(name: str, classes: int) -> None:
    with torch.device("meta"):
        model = create_model(name, classes=classes).eval()
        assert model(torch.zeros(1, 3, 33, 47)).shape == (1, classes, 33, 47)


@pytest.mark.slow
def test_a_large_image_gives_finite_logits(net: SegmentationNet) -> None:
    net.eval()
    with torch.inference_mode():
        logits = net(_input(1024, 768))
    assert logits.shape == (1, CLASSES, 1024, 768)
    assert bool(logits.isfinite().all())


def test_fcn_learns_all_but_its_deconvolutions() -> None:
    with torch.device("meta"):
        model = create_model("fcn8s", classes=21)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 134_362_751


@pytest.mark.parametrize("size", [(1, 1), (33, 47), (64, 50), (7, 130)])
def test_any_size_gives_finite_float32_logits_of_that_size(net: SegmentationNet, size: tuple[int, int]) -> None:
    net.eval()
    with torch.inference_mode():
        logits = net(_input(*size))
    assert logits.shape == (1, CLASSES, *size)
    assert logits.dtype == torch.float32
    assert bool(logits.isfinite().all())


def test_evaluation_is_deterministic(net: SegmentationNet) -> None:
    net.eval()
    with torch.inference_mode():
        assert torch.equal(net(_input(40, 56)), net(_input(40, 56)))


def test_ignored_pixels_have_exactly_zero_gradient(net: SegmentationNet) -> None:
    logits = torch.randn(1, CLASSES, 6, 8, requires_grad=True)
    labels = torch.randint(0, CLASSES, (1, 6, 8))
    labels[:, :, 4:] = 255
    net.score_loss(logits, labels).backward()
    assert logits.grad is not None
    assert bool((logits.grad[..., 4:] == 0).all())
    assert bool((logits.grad[..., :4] != 0).any())


def test_loss_without_a_usable_pixel_is_zero_and_teaches_nothing(net: SegmentationNet) -> None:
    net.train()
    net.zero_grad(set_to_none=True)
    loss = net.training_loss(_input(33, 33), torch.full((1, 33, 33), 255, dtype=torch.uint8))
    loss.backward()
    assert float(loss.detach()) == 0.0
    grads = [p.grad for p in net.parameters() if p.grad is not None]
    assert grads
    assert all(not bool(grad.any()) for grad in grads)
    net.zero_grad(set_to_none=True)


def test_gradients_reach_exactly_what_the_groups_list(net: SegmentationNet) -> None:
    net.train()
    net.zero_grad(set_to_none=True)
    labels = torch.randint(0, CLASSES, (1, 65, 65), generator=torch.Generator().manual_seed(1))
    net.training_loss(_input(65, 65), labels).backward()
    grouped = [p for group in net.parameter_groups(1.0, 1.0) for p in group["params"]]
    assert len({id(p) for p in grouped}) == len(grouped)
    assert {id(p) for p in grouped} == {id(p) for p in net.parameters() if p.grad is not None}
    net.zero_grad(set_to_none=True)


def test_frozen_normalisation_stays_frozen_through_train(net: SegmentationNet) -> None:
    frozen = [module for module in net.modules() if isinstance(module, FrozenBatchNorm2d)]
    before = [module.running_mean.clone() for module in frozen if module.running_mean is not None]
    net.train()
    with torch.no_grad():
        net(_input(33, 47))
    assert all(not module.training and not module.weight.requires_grad for module in frozen)
    after = [module.running_mean for module in frozen if module.running_mean is not None]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert bool(frozen) == (net.family == "deeplabv2" and "resnet" in str(net.options["trunk"]))


@pytest.mark.slow
def test_saved_and_loaded_network_is_equal_and_other_classes_keep_the_trunk(
    net: SegmentationNet, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("nets") / "net.pt"
    net.eval()
    save_checkpoint(net, path)
    again = load_model(path)
    assert (again.loaded.trunk, again.loaded.head, again.card.id) == ("checkpoint", "checkpoint", net.card.id)
    state = again.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())
    other = load_model(path, classes=5)
    path.unlink()
    assert (other.classes, other.loaded.trunk, other.loaded.head) == (5, "checkpoint", "random")
    assert "5" in other.loaded.note
    for key, value in other.state_dict().items():
        if not key.startswith(net.head_prefixes):
            assert torch.equal(value, state[key]), key


def test_published_multipliers_are_in_the_groups() -> None:
    with torch.device("meta"):
        fcn = create_model("fcn8s").parameter_groups(1e-3, 5e-4)
        deeplab = create_model("deeplabv2-resnet101").parameter_groups(1e-3, 5e-4)
    assert [(group["lr_scale"], group["weight_decay"]) for group in fcn] == [(1.0, 5e-4), (2.0, 0.0)]
    assert [(group["lr_scale"], group["weight_decay"]) for group in deeplab] == [(1.0, 5e-4), (10.0, 5e-4), (20.0, 0.0)]
    assert [group["lr"] for group in deeplab] == pytest.approx([1e-3, 1e-2, 2e-2])


def test_deeplab_trains_four_outputs_at_the_published_sizes() -> None:
    with torch.device("meta"):
        model = create_model("deeplabv2-resnet101")
        outputs = model.training_outputs(torch.zeros(1, 3, 321, 321))
    assert [(out.logits.shape[-1], out.step) for out in outputs] == [(41, 8), (41, 8), (41, 8), (21, 16)]


def test_labels_shrink_to_exact_pixels() -> None:
    columns = torch.arange(321).expand(1, 321, 321)
    assert shrunk_labels(columns, 8)[0, 0].tolist() == list(range(0, 321, 8))
    centred = shrunk_labels(columns, 8, centred=True)[0, 0].tolist()
    assert len(centred) == 41
    assert centred[:3] == [3, 11, 19]


def test_channel_option_gives_a_grey_network() -> None:
    model = create_model("unet-small", classes=2, channels=1).eval()
    assert model.card.preprocessing == "GRAY01"
    with torch.inference_mode():
        assert model(torch.zeros(1, 1, 20, 20)).shape == (1, 2, 20, 20)


@pytest.mark.parametrize(
    ("name", "options"), [("nonsense", {}), ("unet", {"depth": 3}), ("unet", {"width": "64"}), ("unet", {"width": 0})]
)
def test_unknown_name_or_option_is_one_sentence(name: str, options: dict[str, int]) -> None:
    with pytest.raises(ModelError):
        create_model(name, **options)


@pytest.mark.parametrize("classes", [0, 1, 256])
def test_unusable_class_count_is_refused(classes: int) -> None:
    with pytest.raises(ModelError, match="2 to 255"):
        create_model("unet-small", classes=classes)


def test_imagenet_vgg_fills_convolutions_and_fully_connected_layers() -> None:
    source = torchvision.models.vgg16
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in source(weights=None).state_dict().items()}
    state = {key: torch.tensor(float(place)).expand(shape) for place, (key, shape) in enumerate(shapes.items(), 1)}
    net = create_model("fcn8s", classes=2)
    net.load_imagenet(state)
    ours = net.state_dict()
    for name, theirs in (("conv1_2", "features.2"), ("conv5_3", "features.28"), ("fc6", "classifier.0")):
        assert bool((ours[f"{name}.weight"] == state[f"{theirs}.weight"][0].flatten()[0]).all())
        assert bool((ours[f"{name}.bias"] == state[f"{theirs}.bias"][0]).all())
    red = ours["conv1_1.weight"][0, 2, 0, 0]
    assert float(red) == pytest.approx(1 / (255 * 0.229))
