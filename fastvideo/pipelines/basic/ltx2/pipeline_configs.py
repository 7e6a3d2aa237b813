"""How an LTX-2 pipeline computes, beside what its checkpoint's metadata says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from fastvideo.api.schema import GeneratorConfig

Precision = Literal["bf16", "fp16", "fp32"]


@dataclass
class LTX2T2VConfig:
    """Precisions hold on an accelerator; a CPU computes in fp32, the only type it is fast in, and so does the vocoder
    everywhere. ``vae_tiling`` decodes in overlapped temporal tiles; ``is_causal`` lets no frame depend on a later one;
    ``text_cache_entries`` is how many encoded texts are kept.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}

    model_path: str = ""
    dit_precision: Precision = "bf16"
    vae_precision: Precision = "bf16"
    text_encoder_precisions: tuple[Precision, ...] = ("bf16",)
    audio_decoder_precision: Precision = "bf16"
    upsampler_precision: Precision = "fp32"
    vae_tiling: bool = True
    is_causal: bool = False
    enable_stage_verification: bool = True
    one_graph: bool = False
    keep_text_keys: bool = True
    text_cache_entries: int = 16

    @classmethod
    def of(cls, config: GeneratorConfig) -> LTX2T2VConfig:
        """The pipeline that a generator's configuration asks for."""
        tiling = config.pipeline.vae_tiling
        return cls(
            model_path=config.model_path,
            vae_tiling=cls.vae_tiling if tiling is None else tiling,
            enable_stage_verification=config.engine.enable_stage_verification,
            one_graph=config.engine.compile.enabled,
            keep_text_keys=config.engine.keep_text_keys,
            text_cache_entries=config.engine.text_cache_entries,
        )
