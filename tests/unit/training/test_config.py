from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from segstudio.core.errors import UserError
from segstudio.training.config import AugmentConfig, TrainConfig


def test_settings_survive_json_and_the_disk(tmp_path: Path) -> None:
    augment = AugmentConfig(scale=2.0, invert=0.5, zooms=(0.5, 1.5))
    config = TrainConfig(model="unet-small", minutes=2.0, seed=5, restarts=((20, 5),), augment=augment)
    config.save(tmp_path)

    assert TrainConfig.load(tmp_path) == config
    assert TrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_unknown_settings_of_a_later_version_are_left_aside() -> None:
    assert TrainConfig.from_json({"seed": 4, "later": 1, "augment": {"later": 2}}).seed == 4


@pytest.mark.parametrize(
    "record",
    [
        {"optimizer": "magic"},
        {"recipe": "secret"},
        {"reduction": "pages"},
        {"batch": 0},
        {"batch": 2, "whole_images": True},
        {"crop": 8},
        {"batch": "many"},
        {"steps": 0},
        {"step_every": 0},
        {"restarts": [[5, 0]]},
        {"restarts": [5]},
        {"batch_norm_momentum": 2.0},
        {"border_sigma": 0.0},
        {"augment": {"scale": 0.5}},
        {"augment": {"zooms": [0.0, 1.0]}},
        {"augment": {"elastic": -1.0}},
    ],
)
def test_impossible_settings_are_refused_with_a_sentence(record: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="training setting"):
        TrainConfig.from_json(record)


def test_a_damaged_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")

    with pytest.raises(UserError, match="cannot be read"):
        TrainConfig.load(tmp_path)
