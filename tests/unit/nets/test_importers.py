"""Checkpoints of other projects are recognised by keys and shapes, or refused in a sentence."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch
from published import described_keys, shapes_only

from segstudio.core.errors import ModelError
from segstudio.nets.card import ModelCard, WeightsRef, find_card, save_card
from segstudio.nets.card_import import import_checkpoint
from segstudio.nets.checkpoint import load_model
from segstudio.nets.importers.contents import Recognised
from segstudio.nets.importers.rules import known_networks, recognise
from segstudio.nets.registry import build

State = Mapping[str, torch.Tensor]

# What each published network is here: family, options that tell it apart, classes, and how many of these have names.
PUBLISHED = {
    ("fcn", "wkentaro/FCN32s"): ("fcn", {"variant": "32s"}, 21, 21),
    ("fcn", "wkentaro/FCN16s"): ("fcn", {"variant": "16s"}, 21, 21),
    ("fcn", "wkentaro/FCN8s"): ("fcn", {"variant": "8s"}, 21, 21),
    ("fcn", "wkentaro/FCN8sAtOnce"): ("fcn", {"variant": "8s-atonce"}, 21, 21),
    ("isht7", "isht7/MS_Deeplab tabs+intdiv"): ("deeplabv2", {"scales": "multi", "align_corners": True}, 21, 21),
    ("kazuto", "kazuto/DeepLabV2_ResNet101_MSC"): ("deeplabv2", {"scales": "multi", "align_corners": False}, 21, 21),
    ("kazuto", "kazuto/DeepLabV1_ResNet101(coco91)"): ("deeplabv2", {"head": "largefov", "scales": "single"}, 91, 0),
    ("unet", "milesial/UNet(bilinear=False,classes=2)"): ("unet", {"bilinear": False, "width": 64}, 2, 0),
    ("unet", "milesial/UNet(bilinear=False,classes=21)"): ("unet", {"bilinear": False, "width": 64}, 21, 0),
    ("unet", "milesial/UNet(bilinear=True,classes=2)"): ("unet", {"bilinear": True, "width": 64}, 2, 0),
    ("unet", "milesial/UNet(bilinear=True,classes=21)"): ("unet", {"bilinear": True, "width": 64}, 21, 0),
}


def _shapes(state: State) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in state.items() if not key.endswith("num_batches_tracked")}


def _fills_its_network(found: Recognised) -> bool:
    with torch.device("meta"):
        net = build(found.family, classes=found.classes, options=found.options)
    return _shapes(net.state_dict()) == _shapes(found.state)


@pytest.mark.parametrize(("file", "network"), PUBLISHED)
def test_every_described_checkpoint_is_recognised_and_fills_its_network(file: str, network: str) -> None:
    keys = described_keys(file).get(network)
    if keys is None:
        pytest.skip("the key dumps are not beside this checkout")
    family, options, classes, names = PUBLISHED[file, network]
    found = recognise(shapes_only(keys), Path(f"{network.replace('/', '-')}.pth"))
    assert (found.family, found.classes, len(found.class_names)) == (family, classes, names)
    assert options.items() <= dict(found.options).items()
    assert _fills_its_network(found)


# -- the same from our own networks, by the names those projects give ------------------------------------------------


def _kazuto(state: State, prefix: str = "base.") -> dict[str, torch.Tensor]:
    units = {"1": "reduce", "2": "conv3x3", "3": "increase"}

    def name(key: str) -> str:
        if stem := re.fullmatch(r"trunk\.(conv|bn)1\.(\w+)", key):
            return f"layer1.conv1.{stem.group(1)}.{stem.group(2)}"
        if unit := re.fullmatch(r"trunk\.layer(\d)\.(\d+)\.(conv|bn)(\d)\.(\w+)", key):
            layer, block, kind, number, leaf = unit.groups()
            return f"layer{int(layer) + 1}.block{int(block) + 1}.{units[number]}.{kind}.{leaf}"
        if shortcut := re.fullmatch(r"trunk\.layer(\d)\.(\d+)\.downsample\.(\d)\.(\w+)", key):
            layer, block, number, leaf = shortcut.groups()
            return f"layer{int(layer) + 1}.block{int(block) + 1}.shortcut.{('conv', 'bn')[int(number)]}.{leaf}"
        return key

    return {prefix + name(key): value for key, value in state.items()}


def _isht7(state: State, prefix: str = "Scale.") -> dict[str, torch.Tensor]:
    return {
        prefix + key.removeprefix("trunk.").replace("aspp.c", "layer5.conv2d_list."): value
        for key, value in state.items()
    }


def _kazuto_v1(classes: int) -> dict[str, torch.Tensor]:
    state = _kazuto(_own_state("deeplabv2", classes, thin=32, head="largefov", scales="single"), "")
    state = {key.replace("aspp.c0.", "fc."): value for key, value in state.items()}
    return {**state, "fc.weight": state["fc.weight"][:, :, 1:2, 1:2].clone()}


def _own_state(family: str, classes: int, **options: object) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return build(family, classes=classes, options=options).state_dict()  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def deeplab() -> dict[str, torch.Tensor]:
    return _own_state("deeplabv2", 21, thin=32)


def _samples(deeplab: State) -> Iterator[tuple[str, State, str, dict[str, object]]]:
    """(file name, its content, the family, options that tell it apart)."""
    for variant in ("32s", "16s", "8s", "8s-atonce"):
        state = _own_state("fcn", 21, variant=variant, thin=32)
        yield f"fcn{variant}_from_caffe.pth", state, "fcn", {"variant": variant}
    yield "kazuto.pth", _kazuto(deeplab), "deeplabv2", {"align_corners": False, "scales": "multi"}
    yield "isht7.pth", _isht7(deeplab), "deeplabv2", {"align_corners": True, "scales": "multi"}
    yield "kazuto-v1.pth", _kazuto_v1(21), "deeplabv2", {"head": "largefov", "scales": "single"}
    for bilinear in (False, True):
        state = _own_state("unet", 21, width=4, bilinear=bilinear)
        yield f"unet-{bilinear}.pth", state, "unet", {"width": 4, "bilinear": bilinear}


def test_each_project_is_told_apart_and_brings_every_number(deeplab: State, tmp_path: Path) -> None:
    for name, state, family, options in _samples(deeplab):
        torch.save(dict(state), tmp_path / name)
        net = load_model(tmp_path / name)
        assert net.family == family, name
        assert options.items() <= net.options.items(), name
        assert (net.loaded.trunk, net.loaded.head) == ("checkpoint", "checkpoint")
        theirs = sorted(float(value.sum()) for value in state.values() if value.ndim)
        ours = sorted(float(value.sum()) for value in net.state_dict().values() if value.ndim)
        assert ours == pytest.approx(theirs), name


def test_other_classes_keep_the_trunk_of_every_project(deeplab: State, tmp_path: Path) -> None:
    for name, state, _, _ in _samples(deeplab):
        torch.save(dict(state), tmp_path / name)
        whole, other = load_model(tmp_path / name), load_model(tmp_path / name, classes=5)
        assert (other.classes, other.loaded.trunk, other.loaded.head) == (5, "checkpoint", "random")
        assert "knows 21 classes" in other.loaded.note
        before = whole.state_dict()
        kept = [key for key in before if not key.startswith(whole.head_prefixes)]
        assert kept
        assert all(torch.equal(before[key], other.state_dict()[key]) for key in kept), name


def test_wrappers_prefixes_and_what_else_lies_there_do_not_matter(deeplab: State) -> None:
    bare = _isht7(deeplab)
    plain = recognise(bare, Path("x.pth"))
    optimizer = {"state": {0: {"momentum_buffer": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]}
    for wrapper in ("state_dict", "model_state_dict", "model_state", "model"):
        data = {wrapper: {f"module.{key}": value for key, value in bare.items()}, "optimizer": optimizer, "epoch": 3}
        found = recognise({**data, "note": "text"}, Path("x.pth"))
        assert _shapes(found.state) == _shapes(plain.state)
        assert dict(found.dropped) == {"tensors of optimizer": 1, "batch counters": 104}
    found = recognise({**bare, "mask_values": [0, 1]}, Path("x.pth"))
    assert dict(found.dropped)["entries that are no tensors"] == 1


def test_without_the_wrapper_for_three_scales_it_is_the_network_with_one(deeplab: State) -> None:
    for state in (_kazuto(deeplab, ""), _isht7(deeplab, "")):
        assert recognise(state, Path("x.pth")).options["scales"] == "single"


def test_batch_counters_may_be_missing_and_then_begin_at_zero(deeplab: State, tmp_path: Path) -> None:
    state = {key: value for key, value in _kazuto(deeplab).items() if not key.endswith("num_batches_tracked")}
    found = recognise(state, Path("x.pth"))
    assert found.dropped == ()
    assert _fills_its_network(found)
    torch.save(state, tmp_path / "net.pth")
    counters = {
        int(value) for key, value in load_model(tmp_path / "net.pth").state_dict().items() if key.endswith("_tracked")
    }
    assert counters == {0}


def test_coco_stuff_has_its_182_names_in_order() -> None:
    found = recognise(_kazuto(_own_state("deeplabv2", 182, thin=32)), Path("x.pth"))
    assert (found.classes, len(set(found.class_names))) == (182, 182)
    assert (found.class_names[0], found.class_names[90], found.class_names[181]) == ("person", "hair brush", "wood")


def test_a_one_by_one_classifier_becomes_the_centre_of_a_larger_one() -> None:
    state = _kazuto_v1(91)
    weight = state["fc.weight"]
    found = recognise(state, Path("x.pth"))
    wide = found.state["aspp.c0.weight"]
    assert torch.equal(wide[:, :, 1:2, 1:2], weight)
    assert float(wide.abs().sum()) == pytest.approx(float(weight.abs().sum()))
    assert "centre" in found.sentences[0]
    assert _fills_its_network(found)


# -- FCN-8s and FCN-8s at once -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def eight() -> State:
    return _own_state("fcn", 3, variant="8s", thin=32)


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("fcn8s_from_caffe.pth", "8s"),
        ("my FCN-8s.pth", "8s"),
        ("fcn8s-atonce_from_caffe.pth", "8s-atonce"),
        ("FCN8sAtOnce_latest.pth", "8s-atonce"),
    ],
)
def test_the_name_tells_plain_from_at_once(eight: State, name: str, variant: str) -> None:
    assert recognise(eight, Path(name)).options["variant"] == variant


def test_a_training_checkpoint_notes_which_it_is(eight: State) -> None:
    found = recognise({"arch": "FCN8sAtOnce", "model_state_dict": eight}, Path("model_best.pth.tar"))
    assert found.options["variant"] == "8s-atonce"


def test_a_name_that_says_nothing_is_read_as_plain_but_not_imported(eight: State, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(dict(eight), path)
    net = load_model(path)
    assert net.options["variant"] == "8s"
    assert "may be FCN-8s or FCN-8s at once" in net.loaded.note
    assert "read as FCN-8s" in net.loaded.note
    with pytest.raises(ModelError) as caught:
        import_checkpoint(path, tmp_path / "cards")
    assert "FCN-8s or FCN-8s at once" in caught.value.message
    assert "--as fcn8s or --as fcn8s-atonce" in caught.value.hint


@pytest.mark.parametrize(("card", "variant"), [("fcn8s", "8s"), ("fcn8s-atonce", "8s-atonce")])
def test_what_the_person_says_counts_more_than_the_name(eight: State, card: str, variant: str) -> None:
    for name in ("weights.pth", "fcn8s.pth", "fcn8s-atonce.pth"):
        assert recognise(eight, Path(name), find_card(card)).options["variant"] == variant


def test_a_card_beside_the_file_says_which_it_is(eight: State, tmp_path: Path) -> None:
    torch.save(dict(eight), tmp_path / "weights.pth")
    card = ModelCard(
        id="mine", family="fcn", options={"variant": "8s-atonce"}, weights=WeightsRef(file="weights.pth"), trained=True
    )
    net = load_model(save_card(card, tmp_path / "mine.toml"))
    assert net.options["variant"] == "8s-atonce"


def test_a_published_file_is_known_by_its_md5_whatever_its_name(
    eight: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"abc")
    mark = "900150983cd24fb0d6963f7d28e17f72"  # the MD5 of "abc"
    monkeypatch.setattr("segstudio.nets.importers.pytorch_fcn._MD5", {mark: "8s-atonce"})
    assert recognise(eight, path).options["variant"] == "8s-atonce"
    assert recognise(eight, path.rename(tmp_path / "fcn8s.pth")).options["variant"] == "8s-atonce"


# -- milesial's U-Net --------------------------------------------------------------------------------------------------


def test_old_biases_move_and_are_told(tmp_path: Path) -> None:
    state = _own_state("unet", 2, width=2)
    state["inc.double_conv.0.bias"] = torch.tensor([1.0, 2.0])
    found = recognise(state, Path("x.pth"))
    assert "inc.double_conv.0.bias" not in found.state
    expected = state["inc.double_conv.1.running_mean"] - torch.tensor([1.0, 2.0])
    assert torch.equal(found.state["inc.double_conv.1.running_mean"], expected)
    assert "Its 1 convolution biases" in found.sentences[0]
    del state["inc.double_conv.1.running_mean"]
    with pytest.raises(ModelError, match="lacks the running means beside"):
        recognise(state, Path("x.pth"))


def test_carvana_files_name_their_classes_and_their_scale() -> None:
    state = _own_state("unet", 2, width=2)
    found = recognise(state, Path("unet_carvana_scale0.5_epoch2.pth"))
    assert found.class_names == ("background", "car")
    assert found.sentences == ("It was trained on images scaled by 0.5.",)
    assert recognise(state, Path("unet_carvana_scale1.0_epoch2.pth")).sentences == ()


def test_grey_unet_takes_grey_images() -> None:
    found = recognise(_own_state("unet", 2, width=2, channels=1), Path("x.pth"))
    assert (found.options["channels"], found.preprocessing) == (1, "GRAY01")


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("classes", "words"), [(1, "1 output channel;"), (256, "256 output channels;")])
def test_too_few_and_too_many_classes_are_refused(classes: int, words: str) -> None:
    state = dict(_own_state("unet", 2, width=2))
    state["outc.conv.weight"] = torch.zeros(classes, 2, 1, 1)
    with pytest.raises(ModelError, match=words):
        recognise(state, Path("x.pth"))


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        (("features.0.weight", "classifier.6.weight"), "VGG-16"),
        (("conv1_1.weight", "fc6.weight"), "VGG-16"),
        (("conv1.weight", "layer4.2.bn3.weight", "fc.weight"), "ResNet"),
    ],
)
def test_networks_that_classify_whole_images_are_refused_by_name(keys: tuple[str, ...], what: str) -> None:
    with pytest.raises(ModelError, match=f"{what} that classifies whole images"):
        recognise({key: torch.zeros(1) for key in keys}, Path("vgg16_from_caffe.pth"))


def test_an_unknown_checkpoint_lists_what_is_known() -> None:
    with pytest.raises(ModelError, match="not a checkpoint of a known network") as caught:
        recognise({"a.weight": torch.zeros(2)}, Path("x.pth"))
    assert known_networks() in caught.value.hint
    for project in ("wkentaro/pytorch-fcn", "kazuto1011/deeplab-pytorch", "isht7/pytorch-deeplab-resnet", "milesial/"):
        assert project in caught.value.hint


@pytest.mark.parametrize("data", [{}, {"state_dict": {}}, {"a": 1}, {1: torch.zeros(1)}])
def test_nothing_in_a_file_is_no_network(data: dict[object, object]) -> None:
    with pytest.raises(ModelError, match="not a checkpoint of a known network"):
        recognise(data, Path("x.pth"))


ODD_SHAPES = ((), (1,), (0, 3, 3, 3), (2, 2), (4, 4, 1, 1), (2, 2, 2, 2, 2))


@pytest.mark.parametrize("file", ["fcn", "isht7", "kazuto", "unet", "tv"])
def test_tensors_of_odd_shapes_under_known_names_raise_nothing_else(file: str) -> None:
    rng = random.Random(0)
    for keys in described_keys(file).values():
        for odd in (0.05, 0.5, 1.0):
            shapes = {key: rng.choice(ODD_SHAPES) if rng.random() < odd else shape for key, shape in keys.items()}
            try:
                recognise(shapes_only(shapes), Path("x8s.pth"))
            except ModelError as error:
                assert "x8s.pth" in error.message
