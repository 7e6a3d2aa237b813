"""``torch.compile`` of the blocks that repeat: blocks of one shape share a graph, which is compiled once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from fastvideo.api.errors import ConfigValidationError
from fastvideo.api.schema import CompileConfig
from fastvideo.models.ltx2.audio_vae import AudioResBlock
from fastvideo.models.ltx2.loader import LTX2Components
from fastvideo.models.ltx2.transformer import LTX2Transformer
from fastvideo.models.ltx2.video_vae_blocks import ResnetBlock

_SHARED = ("backend", "mode", "fullgraph", "dynamic")


def compile_parts(components: LTX2Components, config: CompileConfig) -> None:
    """Have the blocks of the parts that ``engine.compile`` names compiled at their first use: the transformer's with
    ``enabled``, the others' with a switch of their own. Weights are no part of a graph, and may change in place.

    Raises ConfigValidationError for arguments that ``torch.compile`` does not take.
    """
    compile_transformer(components.transformer, config)
    if config.text_encoder_enabled:
        _compile(components.text_encoder.layers, config, "text_encoder_kwargs")
    if config.vae_enabled:
        _compile(_blocks_of(components.video_vae, ResnetBlock), config, "vae_kwargs")
    if config.audio_vae_enabled:
        _compile(_blocks_of(components.audio_vae, AudioResBlock), config, "audio_vae_kwargs")


def compile_transformer(transformer: LTX2Transformer, config: CompileConfig) -> None:
    """The transformer's share of :func:`compile_parts`."""
    if config.enabled:
        _compile(transformer.transformer_blocks, config, "dit_kwargs")


def _blocks_of(part: nn.Module, kind: type[nn.Module]) -> Iterable[nn.Module]:
    return (module for module in part.modules() if isinstance(module, kind))


def _compile(blocks: Iterable[nn.Module], config: CompileConfig, own_key: str) -> None:
    own: dict[str, Any] = getattr(config, own_key)
    shared = {name: value for name in _SHARED if (value := getattr(config, name)) is not None} | config.extras
    try:
        for block in blocks:
            block.compile(**(own or shared))
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigValidationError(
            f"engine.compile.{own_key}" if own else "engine.compile",
            f"expected arguments of torch.compile, got {own or shared}: {error}",
        ) from error
