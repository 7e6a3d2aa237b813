"""Sizes of the embedded model's text encoder and connectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import Gemma3TextConfig

# Prompts are padded to this length; captions of the world take half of it.
TEXT_TOKENS = 64
TEXT_WIDTH = 128
REGISTERS = 32
LARGEST_VOCABULARY = 700
_LAYERS = 3
_HEADS = 4


def text_section() -> dict[str, Any]:
    """The keys of the metadata's ``transformer`` section that the connectors read, in the form of LTX-2.0.

    Those of ``positional_embedding_theta``, ``rope_type``, ``frequencies_precision`` and ``norm_eps`` hold for the
    transformer too.
    """
    return {
        "caption_channels": TEXT_WIDTH,
        "caption_proj_before_connector": False,
        "connector_num_layers": 1,
        "connector_num_attention_heads": _HEADS,
        "connector_attention_head_dim": TEXT_WIDTH // _HEADS,
        "connector_num_learnable_registers": REGISTERS,
        "connector_positional_embedding_max_pos": [TEXT_TOKENS],
        "positional_embedding_theta": 8.0,
        "rope_type": "split",
        "frequencies_precision": "float64",
        "norm_eps": 1e-6,
    }


def gemma_config(vocabulary: int) -> Gemma3TextConfig:
    """The text encoder for that many tokens, of which the first three are padding, end and begin."""
    from transformers import Gemma3TextConfig

    return Gemma3TextConfig(
        vocab_size=vocabulary,
        hidden_size=TEXT_WIDTH,
        intermediate_size=2 * TEXT_WIDTH,
        num_hidden_layers=_LAYERS,
        num_attention_heads=_HEADS,
        num_key_value_heads=2,
        head_dim=TEXT_WIDTH // _HEADS,
        query_pre_attn_scalar=TEXT_WIDTH // _HEADS,
        sliding_window=TEXT_TOKENS,
        max_position_embeddings=TEXT_TOKENS,
        # Gemma multiplies embeddings by the root of the width: they begin with deviation 1.
        initializer_range=TEXT_WIDTH**-0.5,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=2,
        dtype="bfloat16",
    )
