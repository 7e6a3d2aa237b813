"""A small random LTX-2 checkpoint in the official layout, with its Gemma 3 and tokenizer: for tests and demos.

It has every part and every kind of tensor of the real one, of version 2.0 or 2.3, and makes moving, coloured pictures
and audible sound that depend on the prompt, though they mean nothing. It decodes faster than playback on a laptop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from fastvideo.models.ltx2.audio_vae import AudioVAE
from fastvideo.models.ltx2.config import LTX2Config
from fastvideo.models.ltx2.connectors import TextConnectors
from fastvideo.models.ltx2.loader import TEXT_ENCODER_FOLDER, UPSAMPLER_FOLDER, official_key
from fastvideo.models.ltx2.rope import audio_positions, video_positions
from fastvideo.models.ltx2.text_encoder import without_progress_bar
from fastvideo.models.ltx2.tiny_metadata import TEXT_WIDTH, tiny_metadata, tiny_upsampler_metadata
from fastvideo.models.ltx2.transformer import LTX2Transformer, LTX2TransformerConfig, ModalityInput
from fastvideo.models.ltx2.upsampler import LatentUpsampler, LatentUpsamplerConfig
from fastvideo.models.ltx2.video_vae import VideoVAE
from fastvideo.models.ltx2.video_vae_blocks import DepthToSpaceUpsample
from fastvideo.models.ltx2.vocoder import Vocoder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

CHECKPOINT_NAME = "tiny-ltx2.safetensors"
UPSAMPLER_NAME = "tiny-ltx2-upsampler.safetensors"
# A change of the builder's output gets a new number, and with it a new folder in the cache.
TINY_REVISION = 3

_TEXT_LAYERS = 2
_TEXT_TOKENS = 256
_PIXEL_DEVIATION = 0.45
_SOUND_DEVIATION = 0.08


def write_tiny_checkpoint(folder: Path, *, seed: int = 0, version: str = "2.0") -> Path:
    """Writes the checkpoint, its ``text_encoder`` and its ``spatial_upscaler`` into ``folder``; returns the
    checkpoint's path.

    The same seed and version give the same tensors.
    """
    metadata = tiny_metadata(version)
    config = LTX2Config.from_metadata(metadata)
    generator = torch.Generator().manual_seed(seed)
    transformer = LTX2Transformer(config.transformer)
    video_vae, audio_vae, vocoder = VideoVAE(config.video_vae), AudioVAE(config.audio_vae), Vocoder(config.vocoder)
    parts: dict[str, nn.Module] = {
        "connectors": TextConnectors(replace(config.connectors, num_text_hidden_states=_TEXT_LAYERS + 1)),
        "transformer": transformer,
        "video_vae": video_vae,
        "audio_vae": audio_vae,
        "vocoder": vocoder,
    }
    with torch.no_grad():
        for module in parts.values():
            _randomise(module.eval(), generator)
        _match_statistics(video_vae, transformer, generator)
        _smooth_picture(video_vae, generator)
        _level_sound(audio_vae, vocoder, generator)
    tensors = {
        official_key(part, name): tensor.to(torch.bfloat16).contiguous()
        for part, module in parts.items()
        for name, tensor in module.state_dict().items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / CHECKPOINT_NAME
    save_file(tensors, str(file), metadata=metadata)
    write_text_encoder(folder / TEXT_ENCODER_FOLDER, generator)
    _write_upsampler(folder / UPSAMPLER_FOLDER, video_vae, version, generator)
    return file


def _randomise(module: nn.Module, generator: torch.Generator) -> None:
    """Weights that keep the variance of what passes through; norms near 1, tables and registers of visible size."""
    for name, parameter in module.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if name.endswith("norm.weight"):
            parameter.copy_(1 + 0.1 * noise)
        elif name.endswith("registers"):
            parameter.copy_(noise)
        elif "scale_shift_table" in name:
            parameter.copy_(0.3 * noise)
        elif parameter.ndim >= 2:
            parameter.copy_(noise / parameter[0].numel() ** 0.5)
        else:
            parameter.copy_(0.05 * noise)


def _match_statistics(vae: VideoVAE, transformer: LTX2Transformer, generator: torch.Generator) -> None:
    """Set the VAE's latent statistics to those of what the transformer generates."""
    config = transformer.config
    frames, height, width, sounds = 8, 8, 8, 60
    contexts = [torch.randn((1, _TEXT_TOKENS, size), generator=generator) for size in _context_sizes(config)]
    latents = [torch.randn((1, count, 128), generator=generator) for count in (frames * height * width, sounds)]
    positions = [video_positions(frames, height, width, fps=24), audio_positions(sounds)]
    for sigma, following in pairwise((1.0, 0.909375, 0.725, 0.421875, 0.0)):
        inputs = [
            ModalityInput(x, torch.full(x.shape[:2], sigma), torch.tensor([sigma]), place, context)
            for x, place, context in zip(latents, positions, contexts, strict=True)
        ]
        velocities = transformer(*inputs)
        latents = [x + (following - sigma) * v for x, v in zip(latents, velocities, strict=True)]
    mean, deviation = latents[0].mean(dim=(0, 1)), latents[0].std(dim=(0, 1))
    vae.per_channel_statistics.get_buffer("std-of-means").copy_(1 / deviation)
    vae.per_channel_statistics.get_buffer("mean-of-means").copy_(-mean / deviation)


def _context_sizes(config: LTX2TransformerConfig) -> tuple[int, int]:
    if config.caption_proj_before_connector:
        return config.cross_attention_dim, config.audio_cross_attention_dim
    return config.caption_channels, config.caption_channels


def _smooth_picture(vae: VideoVAE, generator: torch.Generator) -> None:
    """Decoder weights that draw soft moving shapes instead of noise.

    Every kernel blurs, and all cells that one channel is spread over (2x2x2 when doubling, 4x4 in a patch) are equal.
    """
    slope = torch.tensor([0.25, 0.5, 0.25])
    blur = slope.view(-1, 1, 1) * slope.view(-1, 1) * slope
    last_up = max(i for i, block in enumerate(vae.decoder.up_blocks) if isinstance(block, DepthToSpaceUpsample))
    for name, conv in vae.decoder.named_modules():
        if isinstance(conv, nn.Conv3d):
            # Doubling spreads groups of 8 channels; after the last doubling only the patch is left.
            index = int(name.split(".")[1]) if name.startswith("up_blocks.") else -1
            cells = vae.config.patch_size**2 if name.startswith("conv_out") else 8 if index <= last_up else 1
            outputs, inputs = conv.weight.shape[:2]
            mix = torch.randn((outputs // cells, inputs), generator=generator) * (3.0 / inputs) ** 0.5
            conv.weight.copy_(mix.repeat_interleave(cells, dim=0)[..., None, None, None] * blur)
            if conv.bias is not None:
                conv.bias.copy_(conv.bias[::cells].repeat_interleave(cells))
    latents = vae.per_channel_statistics.normalize(torch.randn((4, vae.latent_channels, 3, 6, 6), generator=generator))
    last = vae.decoder.conv_out
    pixels = _output_of(last, lambda: vae.decode(latents))
    _scale_output(last.conv, pixels, _PIXEL_DEVIATION, cells=vae.config.patch_size**2)
    # What the encoder makes of such pictures has the statistics that were assumed here.
    first = vae.encoder.conv_out
    frames = vae.decode(latents).clamp(-1, 1)
    _scale_output(first.conv, _output_of(first, lambda: vae.encode(frames)), 1.0)


def _level_sound(audio_vae: AudioVAE, vocoder: Vocoder, generator: torch.Generator) -> None:
    """Scale the mel frames to those of ordinary sound, and what the vocoder makes of them to a comfortable level."""
    config = audio_vae.config
    latents = torch.randn((1, config.latent_channels, 30, config.latent_bins), generator=generator)
    last = audio_vae.decoder.conv_out
    _scale_output(last.conv, _output_of(last, lambda: audio_vae.decode(latents)), 1.5)
    if last.conv.bias is not None:
        last.conv.bias -= 3.0
    mel = audio_vae.decode(latents)
    for name, module in vocoder.named_modules():
        if name.endswith("conv_post") and isinstance(module, nn.Conv1d):
            _scale_output(module, _output_of(module, lambda: vocoder(mel)), _SOUND_DEVIATION)


def _write_upsampler(folder: Path, vae: VideoVAE, version: str, generator: torch.Generator) -> None:
    """An upsampler whose latents have the statistics of those that it is given."""
    metadata = tiny_upsampler_metadata(version)
    config = LatentUpsamplerConfig.from_metadata(metadata, rational_resampler=version == "2.0")
    upsampler = LatentUpsampler(config).eval()
    statistics = vae.per_channel_statistics
    with torch.no_grad():
        for module in upsampler.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d):
                _randomise(module, generator)
        latents = statistics.denormalize(torch.randn((1, vae.latent_channels, 4, 6, 6), generator=generator))
        last = upsampler.final_conv
        _scale_output(last, _output_of(last, lambda: upsampler(latents)), 1.0)
        deviation = statistics.get_buffer("std-of-means")
        last.weight *= deviation.view(-1, 1, 1, 1, 1)
        assert last.bias is not None
        last.bias.copy_(last.bias * deviation + statistics.get_buffer("mean-of-means"))
    folder.mkdir(exist_ok=True)
    tensors = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in upsampler.state_dict().items()}
    save_file(tensors, str(folder / UPSAMPLER_NAME), metadata=metadata)


def _output_of(layer: nn.Module, run: Callable[[], Tensor]) -> Tensor:
    seen: list[Tensor] = []
    handle = layer.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    try:
        run()
    finally:
        handle.remove()
    return seen[-1]


def _scale_output(
    layer: nn.Conv1d | nn.Conv2d | nn.Conv3d, output: Tensor, deviation: float, *, cells: int = 1
) -> None:
    """Give each output channel [B, C, ...] of a convolution that deviation, and mean 0 where it has a bias.

    ``cells`` neighbouring channels are one.
    """
    channels = output.transpose(0, 1).reshape(output.shape[1] // cells, -1)
    gain = (deviation / channels.std(dim=1)).repeat_interleave(cells)
    layer.weight *= gain.view(-1, *[1] * (layer.weight.ndim - 1))
    if layer.bias is not None:
        layer.bias.copy_((layer.bias - channels.mean(dim=1).repeat_interleave(cells)) * gain)


def write_text_encoder(folder: Path, generator: torch.Generator) -> None:
    """Writes a random Gemma 3 of 64 channels and 3 hidden states, and a tokenizer of bytes, into ``folder``."""
    from transformers import Gemma3TextConfig, Gemma3TextModel

    tokenizer = byte_tokenizer(_TEXT_TOKENS)
    tokenizer.save_pretrained(str(folder))
    config = Gemma3TextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=2 * TEXT_WIDTH,
        num_hidden_layers=_TEXT_LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        query_pre_attn_scalar=16,
        sliding_window=_TEXT_TOKENS,
        max_position_embeddings=4 * _TEXT_TOKENS,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=2,
        dtype="bfloat16",
    )
    model = Gemma3TextModel(config)
    with torch.no_grad():
        _randomise(model, generator)
    with without_progress_bar():
        model.to(torch.bfloat16).save_pretrained(str(folder))


def byte_tokenizer(max_tokens: int) -> PreTrainedTokenizerFast:
    """One token for each byte, in Gemma 3's form: BOS, which has the id 2, then the text; padded with 0 on the left."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    specials = ["<pad>", "<eos>", "<bos>", "<unk>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*specials, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))  # noqa: S106
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", vocabulary["<bos>"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **dict(zip(("pad_token", "eos_token", "bos_token", "unk_token"), specials, strict=True)),
        model_max_length=max_tokens,
        padding_side="left",
    )
