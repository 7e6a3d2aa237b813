"""Sound alone as the bytes of one WAV file."""

from __future__ import annotations

import io
import wave

import numpy as np
from numpy.typing import NDArray

_FULL_SCALE = 32767


def encode_wav(audio: NDArray[np.floating], sample_rate: int) -> bytes:
    """Sound, float [channels, samples] in -1..1 (what is beyond is clipped), as 16-bit PCM. Raises ValueError."""
    if audio.ndim != 2 or not audio.shape[0]:
        raise ValueError(f"expected sound of shape [channels, samples], got {list(audio.shape)}")
    samples = np.rint(np.clip(audio, -1.0, 1.0) * _FULL_SCALE).astype("<i2")
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setnchannels(samples.shape[0])
        file.setsampwidth(samples.itemsize)
        file.setframerate(sample_rate)
        file.writeframes(np.ascontiguousarray(samples.T).tobytes())
    return data.getvalue()
