"""configs/reference.yaml says the truth about every key."""

from pathlib import Path

import pytest

from fastvideo.api import (
    GeneratorConfig,
    OpenAIConfig,
    ServeConfig,
    StreamingConfig,
    config_to_dict,
    load_raw_config,
    parse_config,
)
from fastvideo.api.support import check_serve_config
from fastvideo.entrypoints.streaming.router import ReplicaEndpoint, RouterConfig, load_router_config

CONFIGS = Path(__file__).parents[2] / "configs"


def defaults():
    generator = GeneratorConfig(model_path="tiny:?seed=0")
    config = ServeConfig(generator=generator, streaming=StreamingConfig(), openai=OpenAIConfig())
    raw = config_to_dict(config)
    # Inputs come with each request; a server has no default for them worth listing.
    raw["default_request"]["inputs"] = {}
    return raw


def test_the_reference_names_every_key_with_its_default():
    assert load_raw_config(CONFIGS / "reference.yaml") == defaults()


def test_the_routers_reference_names_every_key_with_its_default():
    raw = load_raw_config(CONFIGS / "router.yaml")["router"]
    health_check = raw.pop("health_check")
    first = raw["replicas"][0]
    values = {
        **raw,
        "health_check_path": health_check.pop("path"),
        "health_check_interval_seconds": health_check.pop("interval_seconds"),
        "health_check_timeout_seconds": health_check.pop("timeout_seconds"),
        **health_check,
        "host": "0.0.0.0",
        "replicas": [],
    }
    expected = config_to_dict(RouterConfig(replicas=[ReplicaEndpoint(first["url"], name=first["name"])]))
    assert [first] == expected["replicas"]
    assert values == {**expected, "replicas": []}


def test_the_shipped_router_config_is_accepted():
    assert len(load_router_config(CONFIGS / "router.yaml").replicas) == 2


@pytest.mark.parametrize(
    "path", sorted(set(CONFIGS.glob("*.yaml")) - {CONFIGS / "router.yaml"}), ids=lambda path: path.name
)
def test_every_shipped_config_is_accepted(path):
    check_serve_config(parse_config(ServeConfig, load_raw_config(path)))
