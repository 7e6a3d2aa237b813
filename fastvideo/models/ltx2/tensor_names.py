"""The parts of an official LTX-2 single file, by the prefixes of its tensors' names."""

from __future__ import annotations

TRANSFORMER_PREFIX = "model.diffusion_model."
PROJECTION_PREFIX = "text_embedding_projection."
_CONNECTOR_PREFIXES = (
    f"{TRANSFORMER_PREFIX}video_embeddings_connector.",
    f"{TRANSFORMER_PREFIX}audio_embeddings_connector.",
)
_PREFIXES = {
    "transformer": TRANSFORMER_PREFIX,
    "video_vae": "vae.",
    "audio_vae": "audio_vae.",
    "vocoder": "vocoder.",
}
PARTS = ("transformer", "connectors", "video_vae", "audio_vae", "vocoder")


def split_key(key: str) -> tuple[str, str] | None:
    """A tensor's part and its name there; None for a tensor that no part knows. Inverse of :func:`official_key`."""
    if key.startswith(_CONNECTOR_PREFIXES):
        return "connectors", key.removeprefix(TRANSFORMER_PREFIX)
    if key.startswith(PROJECTION_PREFIX):
        return "connectors", key
    for part, prefix in _PREFIXES.items():
        if key.startswith(prefix):
            return part, key.removeprefix(prefix)
    return None


def official_key(part: str, name: str) -> str:
    """The name that a part's tensor has in an official file."""
    if part == "connectors":
        return name if name.startswith(PROJECTION_PREFIX) else f"{TRANSFORMER_PREFIX}{name}"
    return f"{_PREFIXES[part]}{name}"
