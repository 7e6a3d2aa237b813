"""Which kernel attention runs on a GPU: PyTorch's own choice, or FlashAttention 3 in place of its FlashAttention 2."""

from __future__ import annotations

import importlib.util

import torch
import torch.nn.attention

from fastvideo.api.errors import ConfigValidationError
from fastvideo.api.schema import AttentionBackend

_PATH = "engine.attention_backend"
_FLASH3 = "FA3"
_FLASH3_MODULE = "flash_attn_interface"
# FlashAttention 3 is for this generation alone.
_HOPPER = 9


def use_attention(wanted: AttentionBackend, device: torch.device) -> None:
    """Let attention on ``device`` run as ``engine.attention_backend`` says, in the whole process.

    Raises ConfigValidationError for what is not to be had here.
    """
    if (_automatic(device) if wanted == "auto" else wanted) == "sdpa":
        return
    if device.type != "cuda":
        raise ConfigValidationError(_PATH, "flash3 needs a GPU; use auto")
    if torch.nn.attention.current_flash_attention_impl() == _FLASH3:
        return
    try:
        torch.nn.attention.activate_flash_attention_impl(_FLASH3)
    except (ImportError, RuntimeError) as error:
        raise ConfigValidationError(
            _PATH, f"flash3 needs the package that has {_FLASH3_MODULE}, of FlashAttention 3: {error}"
        ) from error


def _automatic(device: torch.device) -> AttentionBackend:
    if device.type != "cuda" or importlib.util.find_spec(_FLASH3_MODULE) is None:
        return "sdpa"
    return "flash3" if torch.cuda.get_device_capability(device)[0] == _HOPPER else "sdpa"
