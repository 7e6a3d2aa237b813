from fastvideo.api.schema import GeneratorConfig
from fastvideo.pipelines.basic.ltx2.building import part_dtypes
from fastvideo.pipelines.basic.ltx2.pipeline_configs import LTX2T2VConfig


def test_tiling_is_on_unless_the_generator_says_otherwise() -> None:
    config = GeneratorConfig(model_path="x")
    assert LTX2T2VConfig.of(config).vae_tiling
    config.pipeline.vae_tiling = False
    assert not LTX2T2VConfig.of(config).vae_tiling


def test_verification_follows_the_engine() -> None:
    config = GeneratorConfig(model_path="x")
    config.engine.enable_stage_verification = False
    assert not LTX2T2VConfig.of(config).enable_stage_verification


def test_precisions_are_per_part_and_the_vocoder_has_none() -> None:
    import torch

    dtypes = part_dtypes(LTX2T2VConfig(vae_precision="fp32"))
    assert dtypes["transformer"] == torch.bfloat16
    assert dtypes["video_vae"] == torch.float32
    assert "vocoder" not in dtypes
