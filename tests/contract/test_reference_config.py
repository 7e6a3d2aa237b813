"""configs/reference.yaml says the truth about every key."""

from pathlib import Path

import pytest

from fastvideo.api import GeneratorConfig, ServeConfig, StreamingConfig, config_to_dict, load_raw_config, parse_config
from fastvideo.api.support import check_serve_config

CONFIGS = Path(__file__).parents[2] / "configs"


def defaults():
    config = ServeConfig(generator=GeneratorConfig(model_path="tiny:?seed=0"), streaming=StreamingConfig())
    raw = config_to_dict(config)
    # Inputs come with each request; a server has no default for them worth listing.
    raw["default_request"]["inputs"] = {}
    return raw


def test_the_reference_names_every_key_with_its_default():
    assert load_raw_config(CONFIGS / "reference.yaml") == defaults()


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_every_shipped_config_is_accepted(path):
    check_serve_config(parse_config(ServeConfig, load_raw_config(path)))
