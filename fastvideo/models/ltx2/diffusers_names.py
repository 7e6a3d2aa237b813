"""What diffusers calls the tensors of the official checkpoints; the tensors themselves are the same."""

from __future__ import annotations

import re

_Rules = tuple[tuple[str, str], ...]

_ATTENTION: _Rules = ((r"\.q_norm\.", ".norm_q."), (r"\.k_norm\.", ".norm_k."))
_STATISTICS: _Rules = (
    (r"^per_channel_statistics\.mean-of-means$", "latents_mean"),
    (r"^per_channel_statistics\.std-of-means$", "latents_std"),
)
_RULES: dict[str, _Rules] = {
    "transformer": (
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
    ),
    "connectors": (
        (r"^(video|audio)_embeddings_connector\.", r"\1_connector."),
        (r"\.transformer_1d_blocks\.", ".transformer_blocks."),
        (r"^text_embedding_projection\.aggregate_embed\.", "text_proj_in."),
        (r"^text_embedding_projection\.(video|audio)_aggregate_embed\.", r"\1_text_proj_in."),
        *_ATTENTION,
    ),
    "audio_vae": _STATISTICS,
    "vocoder": (
        (r"\bups\b", "upsamplers"),
        (r"\bresblocks\b", "resnets"),
        (r"\bconv_pre\b", "conv_in"),
        (r"\bconv_post\b", "conv_out"),
        (r"\bact_post\b", "act_out"),
        (r"\bdownsample\.lowpass\b", "downsample"),
    ),
}
_VIDEO_VAE: _Rules = (*_STATISTICS, (r"\bres_blocks\b", "resnets"))


def diffusers_name(part: str, name: str, *, encoder_blocks: int = 9) -> str:
    """The name in diffusers of a part's tensor, both without prefix. Of the video VAE's ``encoder_blocks`` the last
    one has another name there."""
    if part != "video_vae":
        return _replaced(name, _RULES[part])
    return _in_video_vae(_replaced(name, _VIDEO_VAE), encoder_blocks)


def _replaced(name: str, rules: _Rules) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def _in_video_vae(name: str, encoder_blocks: int) -> str:
    """One list of residual stacks and resamplers, in turn, is a list of pairs there, and a stack of its own."""
    if match := re.match(r"encoder\.down_blocks\.(\d+)\.(.*)", name):
        index, rest = int(match[1]), match[2]
        if index == encoder_blocks - 1:
            return f"encoder.mid_block.{rest}"
        return f"encoder.down_blocks.{index // 2}.{'downsamplers.0.' if index % 2 else ''}{rest}"
    if match := re.match(r"decoder\.up_blocks\.(\d+)\.(.*)", name):
        index, rest = int(match[1]), match[2]
        if index == 0:
            return f"decoder.mid_block.{rest}"
        return f"decoder.up_blocks.{(index - 1) // 2}.{'upsamplers.0.' if index % 2 else ''}{rest}"
    return name
