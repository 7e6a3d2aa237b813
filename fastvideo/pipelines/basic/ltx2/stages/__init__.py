"""The stages of the LTX-2 pipeline, in the order in which they run."""

from fastvideo.pipelines.basic.ltx2.stages.ltx2_audio_decoding import LTX2AudioDecodingStage
from fastvideo.pipelines.basic.ltx2.stages.ltx2_audio_reencoding import LTX2AudioReencodingStage
from fastvideo.pipelines.basic.ltx2.stages.ltx2_conditioning import LTX2ConditioningStage
from fastvideo.pipelines.basic.ltx2.stages.ltx2_denoising import LTX2DenoisingStage
from fastvideo.pipelines.basic.ltx2.stages.ltx2_latent_preparation import LTX2LatentPreparationStage
from fastvideo.pipelines.basic.ltx2.stages.ltx2_text_encoding import LTX2TextEncodingStage
from fastvideo.pipelines.basic.ltx2.stages.ltx2_upsampling import LTX2UpsampleStage
from fastvideo.pipelines.basic.ltx2.stages.ltx2_video_decoding import LTX2VideoDecodingStage

__all__ = [
    "LTX2AudioDecodingStage",
    "LTX2AudioReencodingStage",
    "LTX2ConditioningStage",
    "LTX2DenoisingStage",
    "LTX2LatentPreparationStage",
    "LTX2TextEncodingStage",
    "LTX2UpsampleStage",
    "LTX2VideoDecodingStage",
]
