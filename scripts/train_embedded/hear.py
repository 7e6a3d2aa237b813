"""Measures what the audio VAE and the vocoder leave of the world's sound, on held-out stories.

python -m scripts.train_embedded.hear --folder outputs/embedded
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fastvideo.eval.meters.pitch import pitch_error_semitones
from fastvideo.eval.meters.track import Floats
from fastvideo.eval.world import FPS
from fastvideo.eval.world.notes import GRID_HZ, tone_of
from fastvideo.eval.world.scene import Kind
from fastvideo.models.ltx2.audio_vae import AudioVAE
from fastvideo.models.ltx2.mel import LogMelSpectrogram
from fastvideo.models.ltx2.vocoder import Vocoder
from scripts.train_embedded.audio_vae import load_audio_vae
from scripts.train_embedded.sounds import MEL_HOP, MEL_RATE_HZ, QUIET, WAVE_HOP, WAVE_RATE_HZ
from scripts.train_embedded.vocoder import load_vocoder
from scripts.train_embedded.world.held_out import Split
from scripts.train_embedded.world.segment import Segment
from scripts.train_embedded.world.sound import sound_of
from scripts.train_embedded.world.sound_rules import TIMBRES
from scripts.train_embedded.world.story import story

_LISTEN_EVERY_S = 1 / 12
_TIMBRE_POINTS = 10  # of the grid: in 0.1 s every two partials of the world are orthogonal
_EDGE_S = 0.2
_INAUDIBLE = 1e-12
# The ways from a segment's mels to samples: by the vocoder alone, and after the VAE with noise on the latents.
_WAYS: dict[str, float | None] = {"vocoder": None, "VAE and vocoder": 0.0, "noise of 0.25": 0.25, "noise of 0.5": 0.5}


@dataclass(frozen=True)
class Heard:
    """``pitch`` and ``timbre`` (None for two voices) say whether they are right; ``error_db``: how far the difference
    from the world's samples lies below them; ``spectrum_db``: mean distance of log magnitudes where it sounds;
    ``level_db``: loudness beside the world's; ``peak``: the largest sample."""

    pitch: float
    timbre: float | None
    error_db: float
    spectrum_db: float
    level_db: float
    peak: float


def listen(segment: Segment, samples: NDArray[np.float32]) -> Heard:
    """Compares ``samples`` [2, N] at 24 kHz with the sound of a first segment; they may be longer."""
    wanted = sound_of(segment, WAVE_RATE_HZ)
    heard = samples[:, : wanted.shape[1]]
    times_s = np.arange(_EDGE_S, segment.num_frames / FPS - _EDGE_S, _LISTEN_EVERY_S)
    y = segment.actors[0].trajectory.at(times_s).y
    pitch = float(pitch_error_semitones(y, times_s, heard, WAVE_RATE_HZ) <= 1.0)
    timbre = None
    if len(segment.actors) == 1:
        timbre = float(_kind_of(heard, times_s, y) is segment.actors[0].thing.kind)
    ours, theirs = (_spectrum(wave) for wave in (heard, wanted))
    sounds = theirs > 0.01 * theirs.max()
    return Heard(
        pitch,
        timbre,
        _db(np.square(wanted).mean() / (np.square(heard - wanted).mean() + _INAUDIBLE)),
        float(np.abs(20 * np.log10(np.maximum(ours[sounds], 1e-6) / theirs[sounds])).mean()),
        _db((np.square(heard).mean() + _INAUDIBLE) / np.square(wanted).mean()),
        float(np.abs(heard).max()),
    )


@torch.no_grad()
def ways(segment: Segment, vae: AudioVAE, vocoder: Vocoder, generator: torch.Generator) -> Iterator[Tensor]:
    """The segment's sound [2, N] at 24 kHz, after each of the ways; N is at least the segment's length."""
    low = torch.from_numpy(sound_of(segment, MEL_RATE_HZ))[None]
    mel = LogMelSpectrogram(vae.config.mel)(low)
    scale = vae.config.time_scale
    # Whole latents, the last of which may reach beyond the end.
    missing = -(mel.shape[2] - 1) % scale
    mel = torch.cat((mel, mel[:, :, -1:].expand(-1, -1, missing, -1)), dim=2)
    latents = vae.encode(mel)
    for share in _WAYS.values():
        if share is None:
            yield vocoder(mel.clamp(min=QUIET))[0]
        else:
            yield vocoder(vae.decode(latents + share * torch.randn(latents.shape, generator=generator)))[0]


def _kind_of(samples: NDArray[np.float32], times_s: Floats, y: Floats) -> Kind:
    """The kind whose timbre is nearest to the amplitudes of the partials of the tone that ``y`` asks for."""
    mono = samples.mean(axis=0)
    size = _TIMBRE_POINTS * WAVE_HOP
    total = np.zeros(6)
    for time_s, tone in zip(times_s, tone_of(1 - y, 0), strict=True):
        begin = round(time_s * GRID_HZ) * WAVE_HOP - size // 2
        angle = 2 * np.pi * GRID_HZ * tone * (begin + np.arange(size)) / WAVE_RATE_HZ
        total += [np.abs((mono[begin : begin + size] * np.exp(-1j * number * angle)).sum()) for number in range(1, 7)]
    total /= np.linalg.norm(total)
    return max(Kind, key=lambda kind: float(TIMBRES[kind] @ total))


def _spectrum(wave: NDArray[np.float32]) -> Floats:
    windows = np.lib.stride_tricks.sliding_window_view(wave, 1024, axis=1)[:, ::512]
    magnitudes: Floats = np.abs(np.fft.rfft(windows * np.hanning(1024), axis=2))
    return magnitudes


def _db(power_ratio: float) -> float:
    return float(10 * np.log10(power_ratio))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="with the audio VAE and the vocoder")
    parser.add_argument("--clips", type=int, default=100, help="how many (default 100)")
    parser.add_argument("--seed", type=int, default=0, help="of the stories (default 0)")
    arguments = parser.parse_args()
    vae, vocoder = load_audio_vae(arguments.folder), load_vocoder(arguments.folder)
    generator = torch.Generator().manual_seed(arguments.seed)
    found: dict[str, list[Heard]] = {"the world": [], **{name: [] for name in _WAYS}}
    for index in range(arguments.clips):
        segment = story(arguments.seed, index, num_segments=1, split=Split.HELD_OUT)[0].segment
        found["the world"].append(listen(segment, sound_of(segment, WAVE_RATE_HZ)))
        for name, wave in zip(_WAYS, ways(segment, vae, vocoder, generator), strict=True):
            found[name].append(listen(segment, wave.numpy()))
    for name, all_heard in found.items():
        cells = []
        for field in fields(Heard):
            values = [value for heard in all_heard if (value := getattr(heard, field.name)) is not None]
            cells.append(f"{field.name} {max(values) if field.name == 'peak' else np.mean(values):.3g}")
        print(f"{name:16}", "  ".join(cells))
    latents = torch.randn(1, vae.config.latent_channels, 65, vae.config.latent_bins)
    with torch.inference_mode():
        vocoder(vae.decode(latents))
        began_s = time.process_time()
        mel = vae.decode(latents)
        decoded_s = time.process_time()
        vocoder(mel)
    sung_s = time.process_time()
    print(
        f"CPU time for {mel.shape[2] * MEL_HOP / MEL_RATE_HZ:.2f} s of sound, {torch.get_num_threads()} threads: "
        f"VAE {decoded_s - began_s:.3f} s, vocoder {sung_s - decoded_s:.3f} s"
    )


if __name__ == "__main__":
    main()
