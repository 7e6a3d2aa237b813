"""Tensor names of the official checkpoints in diffusers' words, so that both implementations can share weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from torch import Tensor

_ATTENTION = ((r"\.q_norm\.", ".norm_q."), (r"\.k_norm\.", ".norm_k."))

_TRANSFORMER = (
    (r"^patchify_proj\.", "proj_in."),
    (r"^audio_patchify_proj\.", "audio_proj_in."),
    (r"^adaln_single\.", "time_embed."),
    (r"^audio_adaln_single\.", "audio_time_embed."),
    (r"^prompt_adaln_single\.", "prompt_adaln."),
    (r"^audio_prompt_adaln_single\.", "audio_prompt_adaln."),
    (r"^av_ca_(video|audio)_scale_shift_adaln_single\.", r"av_cross_attn_\1_scale_shift."),
    (r"^av_ca_a2v_gate_adaln_single\.", "av_cross_attn_video_a2v_gate."),
    (r"^av_ca_v2a_gate_adaln_single\.", "av_cross_attn_audio_v2a_gate."),
    (r"\.scale_shift_table_a2v_ca_(video|audio)$", r".\1_a2v_cross_attn_scale_shift_table"),
    *_ATTENTION,
)

_CONNECTORS = (
    (r"^(video|audio)_embeddings_connector\.", r"\1_connector."),
    (r"\.transformer_1d_blocks\.", ".transformer_blocks."),
    (r"^text_embedding_projection\.aggregate_embed\.", "text_proj_in."),
    (r"^text_embedding_projection\.(video|audio)_aggregate_embed\.", r"\1_text_proj_in."),
    *_ATTENTION,
)


def transformer_name(name: str) -> str:
    """Name in ``LTX2VideoTransformer3DModel`` of an official name without ``model.diffusion_model.``."""
    return _replaced(name, _TRANSFORMER)


def connectors_name(name: str) -> str:
    """Name in ``LTX2TextConnectors`` of a key of ``TextConnectors.state_dict()``."""
    return _replaced(name, _CONNECTORS)


def renamed(state: Mapping[str, Tensor], rename: Callable[[str], str]) -> dict[str, Tensor]:
    """The same tensors under new names. Raises ValueError when two names fall together."""
    result = {rename(name): tensor for name, tensor in state.items()}
    if len(result) != len(state):
        raise ValueError(f"{len(state)} names became {len(result)}")
    return result


def _replaced(name: str, rules: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name
