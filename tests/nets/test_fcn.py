"""FCN-32s, -16s, -8s and -8s at once: the facts of the release, and training in stages."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from visible import noise, visible

from segstudio.core.errors import ModelError
from segstudio.nets.families.fcn import FCN
from segstudio.nets.families.fcn_border import padded_pools


def _sizes_seen(net: nn.Module, names: list[str], x: torch.Tensor) -> list[int]:
    """The widths that modules give out, in the order they are called."""
    seen: list[int] = []
    for name in names:
        net.get_submodule(name).register_forward_hook(lambda _module, _args, out: seen.append(out.shape[-1]))
    net(x)
    return seen


@pytest.mark.parametrize(
    ("side", "pools", "fc6", "upsampled"),
    [(321, [260, 130, 65, 33, 17], 11, [24, 50, 408]), (500, [349, 175, 88, 44, 22], 16, [34, 70, 568])],
)
def test_fcn_maps_have_the_sizes_of_the_release(side: int, pools: list[int], fc6: int, upsampled: list[int]) -> None:
    with torch.device("meta"):
        names = ["fc6", "upscore2", "upscore_pool4", "upscore8"]
        x = torch.zeros(1, 3, side, side)
        assert [pool.shape[-1] for pool in padded_pools(FCN(classes=2), x)] == pools[2:4]
        assert _sizes_seen(FCN(classes=2), names, x) == [fc6, *upsampled]
        assert _sizes_seen(FCN(classes=2, variant="32s"), ["upscore"], torch.zeros(1, 3, 375, 500)) == [544]
        assert _sizes_seen(FCN(classes=2, variant="16s"), ["upscore16"], torch.zeros(1, 3, 375, 500)) == [560]


@pytest.mark.parametrize("size", [(1, 1), (33, 47), (50, 101), (58, 59), (129, 96)])
def test_fcn_computes_its_padded_pools_and_their_gradients_exactly(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    net = FCN(classes=2, thin=16).double()
    for name, parameter in net.named_parameters():
        if name.startswith("conv") and parameter.ndim == 1:
            nn.init.normal_(parameter, std=0.1)
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    y = F.pad(x, (99,) * 4)
    for number in range(1, 4):
        y = net.pool(net.block(y, number))
    whole = y, net.pool(net.block(y, 4))
    ours = padded_pools(net, x)
    assert [pool.shape for pool in ours] == [pool.shape for pool in whole]
    assert all(torch.allclose(a, b, rtol=0, atol=1e-12) for a, b in zip(ours, whole, strict=True))
    weights = [net.conv1_1.weight, net.conv2_2.bias, net.conv4_3.weight]
    got, want = (torch.autograd.grad(pools[1].square().sum(), weights) for pools in (ours, whole))
    assert all(torch.allclose(a, b, rtol=1e-9) for a, b in zip(got, want, strict=True))


def test_fcn_layers_are_those_of_the_release() -> None:
    with torch.device("meta"):
        net = FCN(classes=21)
    assert (net.conv1_1.padding, net.conv1_2.padding, net.fc6.padding) == ((1, 1), (1, 1), (0, 0))
    assert (net.fc6.weight.shape, net.fc7.weight.shape) == ((4096, 512, 7, 7), (4096, 4096, 1, 1))
    assert (net.pool.kernel_size, net.pool.stride, net.pool.padding, net.pool.ceil_mode) == (2, 2, 0, True)
    assert type(net.dropout) is nn.Dropout
    assert net.dropout.p == 0.5
    scorers = [value for name, value in FCN(classes=2, thin=16).named_parameters() if name.startswith("score_")]
    assert len(scorers) == 6
    assert not any(bool(value.any()) for value in scorers)
    fixed = [name for name, value in net.named_parameters() if not value.requires_grad]
    assert fixed == ["upscore2.weight", "upscore_pool4.weight", "upscore8.weight"]


def test_fcn_at_once_scales_the_pools_before_their_scorers() -> None:
    at_once, plain = visible(FCN(classes=3, variant="8s-atonce", thin=16)), FCN(classes=3, thin=16).eval()
    plain.load_state_dict(at_once.state_dict())
    with torch.no_grad():
        plain.score_pool4.weight *= 0.01
        plain.score_pool3.weight *= 0.0001
        assert torch.allclose(at_once(noise(40, 50)), plain(noise(40, 50)), atol=1e-4)


def test_fcn_stages_lie_on_each_other_to_the_pixel() -> None:
    """A plane is what every bilinear upsampling leaves as it is, so a shift would show."""

    def plane(_module: nn.Module, _args: object, out: torch.Tensor) -> torch.Tensor:
        rows, columns = (torch.arange(side, dtype=torch.float32) for side in out.shape[-2:])
        return (3 * rows[:, None] + 5 * columns).expand(out.shape)

    answers = []
    for variant in ("32s", "16s", "8s"):
        net = FCN(classes=2, variant=variant, thin=64).eval()
        net.score_fr.register_forward_hook(plane)
        with torch.inference_mode():
            answers.append(net(noise(180, 210))[..., 48:-48, 48:-48])
    assert torch.allclose(answers[0], answers[1], atol=1e-4)
    assert torch.allclose(answers[0], answers[2], atol=1e-4)
    assert float(answers[0][0, 0, 0, 32] - answers[0][0, 0, 0, 0]) == pytest.approx(5, abs=1e-4)


@pytest.mark.parametrize(("former", "variant", "last"), [("32s", "16s", "upscore"), ("16s", "8s", "upscore16")])
def test_a_new_fcn_stage_starts_with_the_former_ones_answer(former: str, variant: str, last: str) -> None:
    """Away from the border: twice doubled and enlarged differ by an eighth of the second difference at most."""
    before, after = (
        visible(FCN(classes=3, variant=former, thin=16)),
        visible(FCN(classes=3, variant=variant, thin=16), seed=1),
    )
    after.load_stage(before.state_dict(), before.options)
    coarse: list[torch.Tensor] = []
    before.get_submodule(last).register_forward_hook(lambda _module, args, _out: coarse.append(args[0]))
    with torch.inference_mode():
        want, got = before(noise(180, 210)), after(noise(180, 210))
    bend = sum(float(coarse[0].diff(n=2, dim=dim).abs().max()) / 8 for dim in (2, 3))
    assert float((got - want)[..., 48:-48, 48:-48].abs().max()) <= bend
    assert bend < 0.5 * float(want.abs().max())
    theirs, ours = before.state_dict(), after.state_dict()
    new = set(ours) - set(theirs)
    assert all(torch.equal(ours[key], theirs[key]) for key in set(ours) - new)
    assert sorted(key for key in new if not key.startswith("upscore")) == [
        f"score_pool{4 if variant == '16s' else 3}.{leaf}" for leaf in ("bias", "weight")
    ]
    assert not any(ours[key].any() for key in new if key.startswith("score"))


@pytest.mark.parametrize(
    ("variant", "former", "classes", "message"),
    [
        ("8s", "32s", 3, "goes on from FCN-16s, not from FCN-32s"),
        ("32s", "16s", 3, "does not go on"),
        ("8s-atonce", "16s", 3, "does not go on"),
        ("16s", "32s", 4, "score_fr"),
    ],
)
def test_fcn_refuses_what_is_not_its_former_stage(variant: str, former: str, classes: int, message: str) -> None:
    net, before = FCN(classes=3, variant=variant, thin=64), FCN(classes=classes, variant=former, thin=64)
    state = {key: value.clone() for key, value in net.state_dict().items()}
    with pytest.raises(ModelError, match=message):
        net.load_stage(before.state_dict(), before.options)
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())
