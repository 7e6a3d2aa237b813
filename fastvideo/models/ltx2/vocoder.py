"""The LTX-2 vocoder: log-mel spectrograms to sound."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from fastvideo.api.errors import CheckpointError
from fastvideo.models.ltx2.bandwidth_extension import BandwidthExtendedGenerator, BandwidthExtensionConfig
from fastvideo.models.ltx2.float32_module import Float32Module, without_autocast
from fastvideo.models.ltx2.metadata_section import MetadataSection
from fastvideo.models.ltx2.waveform_generator import GeneratorConfig, WaveformGenerator

_MEL_FRAMES_PER_SECOND = 100


@dataclass(frozen=True)
class VocoderConfig:
    """A generator and, from LTX-2.3 on, the extension of its bandwidth. The defaults are those of LTX-2.0."""

    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    bandwidth_extension: BandwidthExtensionConfig | None = None

    def __post_init__(self) -> None:
        extension = self.bandwidth_extension
        if extension is not None and extension.input_sample_rate_hz != self.generator_sample_rate_hz:
            raise CheckpointError(
                f"vocoder: expected a bandwidth extension from {self.generator_sample_rate_hz} Hz, the generator's "
                f"rate, got one from {extension.input_sample_rate_hz} Hz"
            )

    @property
    def generator_sample_rate_hz(self) -> int:
        """The rate of the generator's waveform: every published LTX-2 has 100 mel frames a second."""
        return self.generator.samples_per_frame * _MEL_FRAMES_PER_SECOND

    @property
    def sample_rate_hz(self) -> int:
        """The rate of the waveform that comes out."""
        extension = self.bandwidth_extension
        return self.generator_sample_rate_hz if extension is None else extension.output_sample_rate_hz

    @classmethod
    def from_metadata(cls, section: Mapping[str, Any]) -> VocoderConfig:
        """Reads the ``vocoder`` section of a checkpoint: one generator, or objects ``vocoder`` and ``bwe``.

        Raises CheckpointError where the file states another sample rate than the generator's upsampling gives.
        """
        root = MetadataSection(section, "vocoder")
        extended = "bwe" in root
        stage = root.section("vocoder") if extended else root
        generator = GeneratorConfig.from_metadata(stage, activates_output=not extended)
        extension = BandwidthExtensionConfig.from_metadata(root.section("bwe")) if extended else None
        config = cls(generator=generator, bandwidth_extension=extension)
        for key in ("output_sampling_rate", "output_sample_rate"):
            stage.require(key, config.generator_sample_rate_hz)
        return config


class Vocoder(Float32Module):
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

    @property
    def sample_rate(self) -> int:
        """Samples a second of the waveform."""
        return self.config.sample_rate_hz

    def forward(self, mel: Tensor) -> Tensor:
        with without_autocast(mel.device):
            waveform: Tensor = self._network[0](mel.float())
        return waveform
