"""The LTX-2 vocoder: log-mel spectrograms to sound."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import Tensor, nn

from fastvideo.api.errors import CheckpointError
from fastvideo.models.ltx2.bandwidth_extension import BandwidthExtendedGenerator, BandwidthExtensionConfig
from fastvideo.models.ltx2.metadata_section import MetadataSection
from fastvideo.models.ltx2.waveform_generator import GeneratorConfig, WaveformGenerator

_MEL_FRAMES_PER_SECOND = 100


@dataclass(frozen=True)
class VocoderConfig:
    """A generator and, from LTX-2.3 on, the extension of its bandwidth. The defaults are those of LTX-2.0."""

    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    bandwidth_extension: BandwidthExtensionConfig | None = None
    generator_sample_rate_hz: int = 24_000

    def __post_init__(self) -> None:
        extension = self.bandwidth_extension
        if extension is not None and extension.input_sample_rate_hz != self.generator_sample_rate_hz:
            raise CheckpointError(
                f"vocoder: expected a bandwidth extension from {self.generator_sample_rate_hz} Hz, the generator's "
                f"rate, got one from {extension.input_sample_rate_hz} Hz"
            )

    @property
    def sample_rate_hz(self) -> int:
        """The rate of the waveform that comes out."""
        extension = self.bandwidth_extension
        return self.generator_sample_rate_hz if extension is None else extension.output_sample_rate_hz

    @classmethod
    def from_metadata(cls, section: Mapping[str, Any]) -> VocoderConfig:
        """Reads the ``vocoder`` section of a checkpoint: one generator, or objects ``vocoder`` and ``bwe``.

        A generator's rate follows from its upsampling, as every published LTX-2 has 100 mel frames a second; where
        the file states another one, CheckpointError is raised.
        """
        root = MetadataSection(section, "vocoder")
        extended = "bwe" in root
        stage = root.section("vocoder") if extended else root
        generator = GeneratorConfig.from_metadata(stage, activates_output=not extended)
        sample_rate_hz = generator.samples_per_frame * _MEL_FRAMES_PER_SECOND
        for key in ("output_sampling_rate", "output_sample_rate"):
            stage.require(key, sample_rate_hz)
        extension = BandwidthExtensionConfig.from_metadata(root.section("bwe")) if extended else None
        return cls(generator=generator, bandwidth_extension=extension, generator_sample_rate_hz=sample_rate_hz)


class Vocoder(nn.Module):
    """Log-mel [B, 2, T, 64] of any float dtype to a float32 waveform [B, 2, N] at ``sample_rate``.

    Weights and arithmetic stay in float32 whatever the model around them is cast to, and inside autocast too:
    bfloat16 audibly degrades the spectrum, and the vocoder is a small part of a segment's time.
    """

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.config = config
        extension = config.bandwidth_extension
        network: nn.Module
        if extension is None:
            network = WaveformGenerator(config.generator)
        else:
            network = BandwidthExtendedGenerator(config.generator, extension)
        # Checkpoints have the tensors of either network at the top. So its parts are registered here, and the network
        # itself is kept out of the module tree by the tuple.
        for name, part in network.named_children():
            self.add_module(name, part)
        self._network = (network,)
        self.register_load_state_dict_post_hook(_widen)  # type: ignore[no-untyped-call]

    @property
    def sample_rate(self) -> int:
        """Samples a second of the waveform."""
        return self.config.sample_rate_hz

    def forward(self, mel: Tensor) -> Tensor:
        with torch.autocast(mel.device.type, enabled=False):
            waveform: Tensor = self._network[0](mel.float())
        return waveform

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Follows the model to another device, not to another dtype (every ``Module.to`` comes through here)."""

        def keep_float32(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            if not moved.is_floating_point() or moved.dtype == torch.float32:
                return moved
            return tensor.to(device=moved.device, dtype=torch.float32)

        super()._apply(keep_float32, recurse)  # type: ignore[no-untyped-call]
        return self


def _widen(vocoder: nn.Module, _incompatible_keys: object) -> None:
    # Loading with assign=True takes the tensors of a bfloat16 file as they are.
    vocoder.float()
