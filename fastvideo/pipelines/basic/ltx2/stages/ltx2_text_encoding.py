"""From the prompts to the contexts of picture and sound."""

from __future__ import annotations

from collections.abc import Callable

import torch

from fastvideo.models.ltx2.connectors import TextConnectors
from fastvideo.models.ltx2.text_encoder import GemmaTextEncoder
from fastvideo.pipelines.basic.ltx2.batch import LTX2Batch, TextContext
from fastvideo.pipelines.basic.ltx2.pipeline_configs import LTX2T2VConfig
from fastvideo.pipelines.basic.ltx2.stages.stage import Stage
from fastvideo.pipelines.basic.ltx2.text_cache import EncodedText, TextCache


class LTX2TextEncodingStage(Stage):
    """All hidden states of a prompt's tokens, through the connectors. Only what these make of them is kept, in
    ``cache``.

    The negative prompt is encoded where guidance moves away from it. ``weights`` gives a number that changes with the
    weights of the parts.
    """

    def __init__(
        self,
        text_encoder: GemmaTextEncoder,
        connectors: TextConnectors,
        cache: TextCache | None = None,
        *,
        weights: Callable[[], int] = lambda: 0,
    ) -> None:
        self._text_encoder = text_encoder
        self._connectors = connectors
        self._weights = weights
        self.cache = TextCache(0) if cache is None else cache

    def forward(self, batch: LTX2Batch, config: LTX2T2VConfig) -> LTX2Batch:
        batch.context = self._context(batch.prompt, batch.text_tokens)
        if any("negative" in stage.guidance.passes for stage in batch.stages):
            batch.negative_context = self._context(batch.negative_prompt, batch.text_tokens)
        return batch

    def verify_output(self, batch: LTX2Batch) -> None:
        for context in batch.context or (None,):
            self.check(context is not None and context.ndim == 3, "expected contexts [B, S, D]")
            self.check(context is not None and bool(torch.isfinite(context).all()), "a context is not finite")

    def _context(self, prompt: str, length: int | None) -> TextContext:
        return self.cache.of(EncodedText(prompt, length, self._weights()), lambda: self._encoded(prompt, length))

    @torch.inference_mode()
    def _encoded(self, prompt: str, length: int | None) -> TextContext:
        hidden_states, mask = self._text_encoder.encode([prompt], length=length)
        return TextContext(*self._connectors(hidden_states, mask))
