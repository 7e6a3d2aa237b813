import json

import pytest

from fastvideo.api.errors import CheckpointError
from fastvideo.models.ltx2.config import LTX2Config
from fastvideo.models.ltx2.tiny_metadata import tiny_metadata


@pytest.mark.parametrize("version", ["2.0", "2.3"])
def test_every_section_is_read(version: str) -> None:
    config = LTX2Config.from_metadata(tiny_metadata(version))
    later = version == "2.3"
    assert config.model_version == version
    assert config.transformer.apply_gated_attention is later
    assert config.transformer.cross_attention_adaln is later
    assert config.connectors.caption_proj_before_connector is later
    assert (config.video_vae.temporal_scale, config.video_vae.spatial_scale) == (8, 32)
    assert config.audio_vae.latents_per_second == 25
    assert config.vocoder.sample_rate_hz == (48_000 if later else 24_000)


def test_the_version_may_be_missing() -> None:
    metadata = tiny_metadata()
    del metadata["model_version"]
    assert LTX2Config.from_metadata(metadata).model_version == ""


@pytest.mark.parametrize("section", ["transformer", "vae", "audio_vae", "vocoder"])
def test_a_missing_section_is_named(section: str) -> None:
    config = json.loads(tiny_metadata()["config"])
    del config[section]
    with pytest.raises(CheckpointError, match=f"'{section}'"):
        LTX2Config.from_metadata({"config": json.dumps(config)})


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '"x"', "null"])
def test_metadata_of_something_else_is_a_checkpoint_error(text: str) -> None:
    with pytest.raises(CheckpointError):
        LTX2Config.from_metadata({"config": text})
    with pytest.raises(CheckpointError, match="no `config`"):
        LTX2Config.from_metadata({"format": "pt"})
