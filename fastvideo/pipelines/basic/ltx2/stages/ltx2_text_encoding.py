"""From the prompt to the contexts of picture and sound."""

from __future__ import annotations

import torch

from fastvideo.models.ltx2.connectors import TextConnectors
from fastvideo.models.ltx2.text_encoder import GemmaTextEncoder
from fastvideo.pipelines.basic.ltx2.batch import LTX2Batch
from fastvideo.pipelines.basic.ltx2.pipeline_configs import LTX2T2VConfig
from fastvideo.pipelines.basic.ltx2.stages.stage import Stage


class LTX2TextEncodingStage(Stage):
    """All hidden states of the prompt's tokens, through the connectors; nothing of them is kept."""

    def __init__(self, text_encoder: GemmaTextEncoder, connectors: TextConnectors) -> None:
        self._text_encoder = text_encoder
        self._connectors = connectors

    def forward(self, batch: LTX2Batch, config: LTX2T2VConfig) -> LTX2Batch:
        with torch.inference_mode():
            hidden_states, mask = self._text_encoder.encode([batch.prompt], length=batch.text_tokens)
            batch.video_context, batch.audio_context = self._connectors(hidden_states, mask)
        return batch

    def verify_output(self, batch: LTX2Batch) -> None:
        for context in (batch.video_context, batch.audio_context):
            self.check(context is not None and context.ndim == 3, "expected contexts [B, S, D]")
            self.check(context is not None and bool(torch.isfinite(context).all()), "a context is not finite")
