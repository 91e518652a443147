"""The recipes' figures are those of the papers and releases, and every card has both recipes."""

from __future__ import annotations

import inspect

import pytest

from segstudio.core.errors import UserError
from segstudio.nets.card import list_cards, shipped_cards
from segstudio.nets.registry_names import FAMILY_NAMES, OptionValue
from segstudio.training.config import TrainConfig
from segstudio.training.recipes import FEW_IMAGES, PUBLISHED, for_card

CARDS = {card.id: card for card in list_cards(shipped_cards()).cards}


def published(name: str) -> TrainConfig:
    card = CARDS[name]
    return for_card(card.family, card.options, recipe="published")


@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
@pytest.mark.parametrize("recipe", ["few-images", "published"])
def test_every_card_has_settings_that_can_work(device: str, recipe: str) -> None:
    for card in CARDS.values():
        config = for_card(card.family, card.options, device, recipe=recipe)

        config.validate()
        assert config.recipe == recipe
        assert TrainConfig.from_json(config.to_json()) == config


def test_every_family_has_a_row_for_few_images() -> None:
    assert set(FEW_IMAGES) == set(FAMILY_NAMES)


def test_every_published_row_belongs_to_a_card() -> None:
    used = {id(for_card(card.family, card.options, recipe="published")) for card in CARDS.values()}

    assert {name for name, config in PUBLISHED.items() if id(config) not in used} == set()


def test_few_images_take_small_crops_on_a_processor() -> None:
    for card in CARDS.values():
        small, large = (for_card(card.family, card.options, device) for device in ("cpu", "cuda"))
        assert small.crop < large.crop
        assert small.batch * small.crop**2 <= 4 * 192**2


@pytest.mark.parametrize(
    ("name", "rate", "steps"),
    [
        ("fcn32s", 1e-10, 100_000),
        ("fcn16s", 1e-12, 100_000),
        ("fcn8s", 1e-14, 100_000),
        ("fcn8s-atonce", 1e-10, 300_000),
    ],
)
def test_fcn_learns_a_hundred_times_slower_with_each_skip(name: str, rate: float, steps: int) -> None:
    config = published(name)

    assert (config.learning_rate, config.steps) == (rate, steps)
    assert (config.optimizer, config.momentum, config.weight_decay, config.schedule) == ("sgd", 0.99, 5e-4, "constant")
    # Such small rates belong to a loss summed over whole images.
    assert (config.reduction, config.whole_images, config.batch) == ("images", True, 1)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("deeplabv1-largefov", (1e-3, "step", 30, 1, 6_000, 321)),
        ("deeplabv2-vgg16-aspp-l", (1e-3, "poly", 10, 1, 20_000, 321)),
        ("deeplabv2-resnet101", (2.5e-4, "poly", 1, 10, 20_000, 321)),
        ("deeplabv3-resnet101", (7e-3, "poly", 16, 1, 30_000, 513)),
        ("deeplabv3-resnet101-os8", (1e-3, "poly", 16, 1, 30_000, 513)),
        ("deeplabv3plus-resnet101", (7e-3, "poly", 16, 1, 30_000, 513)),
        ("deconvnet", (1e-2, "step", 8, 8, 60_000, 512)),
        ("hypercolumn", (1e-3, "step", 1, 20, 10_000, 1024)),
        ("tv-deeplabv3-resnet50", (2e-2, "poly", 32, 1, None, 480)),
        ("tv-lraspp-mobilenet", (1e-2, "poly", 32, 1, None, 480)),
    ],
)
def test_published_figures_are_in_the_table(name: str, expected: tuple[object, ...]) -> None:
    c = published(name)
    assert (c.learning_rate, c.schedule, c.batch, c.accumulate, c.steps, c.crop) == expected


def test_deeplab_v2_on_resnet_draws_the_published_scales() -> None:
    assert published("deeplabv2-resnet101").augment.zooms == (0.5, 0.75, 1.0, 1.25, 1.5)
    assert published("deeplabv2-vgg16-largefov").augment.zooms == ()


def test_deeplab_v3_trains_its_normalisation_at_stride_16_and_fixes_it_at_8() -> None:
    first, second = published("deeplabv3-resnet101"), published("deeplabv3-resnet101-os8")

    assert (first.batch_norm_momentum, first.freeze_batch_norm) == (pytest.approx(0.0003), False)
    assert second.freeze_batch_norm


def test_the_original_unet_learns_from_one_bent_tile_with_weighted_borders() -> None:
    config = published("unet-original")

    assert (config.momentum, config.batch, config.crop, config.augment.elastic) == (0.99, 1, 388, 10.0)
    assert (config.border_weight, config.border_sigma) == (10.0, 5.0)
    assert published("unet").border_weight == 0


def test_published_recipes_neither_clip_nor_average_nor_recolour() -> None:
    for name, config in PUBLISHED.items():
        assert config.average == 0
        assert config.clip_norm == (1.0 if name == "unet" else 0.0)
        assert config.augment.noise == config.augment.tint == config.augment.blur == 0


def test_an_unknown_recipe_is_one_sentence() -> None:
    with pytest.raises(UserError, match="secret"):
        for_card("unet", {}, recipe="secret")


def test_recipes_know_the_defaults_of_the_families() -> None:
    """A card may leave options out; the row is then that of the network's default."""
    from segstudio.nets.registry import family_class

    for family, option in (("fcn", "variant"), ("deeplabv2", "trunk"), ("deeplabv3", "output_stride")):
        default: OptionValue = inspect.signature(family_class(family)).parameters[option].default
        assert for_card(family, {}, recipe="published") is for_card(family, {option: default}, recipe="published")
