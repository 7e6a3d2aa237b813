"""A ready pipeline from a checkpoint and a generator's configuration."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from fastvideo.api.errors import ConfigValidationError
from fastvideo.api.schema import GeneratorConfig, GpuPoolConfig
from fastvideo.models.ltx2.attention_backend import use_attention
from fastvideo.models.ltx2.connectors import TextConnectors
from fastvideo.models.ltx2.diffusers_folder import DIFFUSERS_UPSAMPLER_FOLDER, is_diffusers_folder
from fastvideo.models.ltx2.linear import use_onednn
from fastvideo.models.ltx2.loader import UPSAMPLER_FOLDER, checkpoint_file, load_components, load_transformer
from fastvideo.models.ltx2.quantisation import quantise_transformer
from fastvideo.pipelines.basic.ltx2.compilation import compile_parts, compile_transformer
from fastvideo.pipelines.basic.ltx2.pipeline import LTX2Pipeline
from fastvideo.pipelines.basic.ltx2.pipeline_configs import LTX2T2VConfig, Precision
from fastvideo.pipelines.basic.ltx2.placement import Placement, offloaded_parts
from fastvideo.pipelines.basic.ltx2.recipe import LTX2Recipe
from fastvideo.pipelines.basic.ltx2.segment_inputs import ContinuationSettings
from fastvideo.pipelines.basic.ltx2.sequence.lead import SequenceLead
from fastvideo.pipelines.basic.ltx2.sequence.processes import SequenceProcesses
from fastvideo.pipelines.basic.ltx2.sequence.size import sequence_size

# What the adapter of ``pipeline.components.lora_path`` is called.
DEFAULT_LORA = "default"
_DTYPES: dict[Precision, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def build_pipeline(
    checkpoint: Path, config: GeneratorConfig, pool: GpuPoolConfig | None = None, *, recipe: LTX2Recipe | None = None
) -> LTX2Pipeline:
    """Load the checkpoint and put its parts where ``engine.offload`` says; ``recipe`` says how it samples.

    With ``engine.num_gpus`` above 1 the transformer is loaded by as many processes, of which this one is the first.

    Raises CheckpointError, and ConfigValidationError for joins that cannot be made, for what torch.compile does not
    take, or for more GPUs than there are.
    """
    size = sequence_size(config)
    if size == 1:
        return _built(checkpoint, config, pool, recipe, None)
    processes = SequenceProcesses(checkpoint, config, size)
    try:
        return _built(checkpoint, config, pool, recipe, processes)
    except BaseException:
        processes.close()
        raise


def _built(
    checkpoint: Path,
    config: GeneratorConfig,
    pool: GpuPoolConfig | None,
    recipe: LTX2Recipe | None,
    processes: SequenceProcesses | None,
) -> LTX2Pipeline:
    settings = ContinuationSettings.of(pool) if pool is not None else ContinuationSettings()
    pipeline_config = LTX2T2VConfig.of(config)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    offloaded = offloaded_parts(config.engine.offload) if device.type != "cpu" else frozenset()
    refines = recipe is not None and recipe.refines
    components = load_components(
        checkpoint,
        text_encoder_folder=config.pipeline.components.text_encoder_weights,
        upsampler_file=upsampler_file(checkpoint, config.pipeline.components.upsampler_weights) if refines else None,
        device=device,
        dtype=torch.float32,
        dtypes=part_dtypes(pipeline_config) if device.type != "cpu" else None,
        devices=dict.fromkeys(offloaded, torch.device("cpu")),
    )
    if quantised(config):
        quantise_transformer(components.transformer, checkpoint, device)
    placement = Placement(
        components.modules(), device, offloaded=offloaded, pinned=config.engine.offload.pin_cpu_memory
    )
    for part in (components.connectors, components.transformer):
        use_onednn(part, config.engine.onednn_linears)
    use_attention(config.engine.attention_backend, device)
    compile_parts(components, config.engine.compile)
    lead = None
    if processes is not None:
        lead = SequenceLead(components.transformer, processes.joined(device), processes)
    pipeline = LTX2Pipeline(
        components, pipeline_config, recipe=recipe, settings=settings, placement=placement, lead=lead
    )
    weights = config.pipeline.components
    if weights.lora_path is not None:
        path = Path(weights.lora_path).expanduser()
        pipeline.lora.select(DEFAULT_LORA, path, weights.lora_strength, accumulate=False)
    if weights.refine_lora_path is not None:
        pipeline.lora.add_while_refining(Path(weights.refine_lora_path).expanduser(), weights.refine_lora_strength)
    return pipeline


def load_lone_transformer(checkpoint: Path, config: GeneratorConfig, device: torch.device) -> dict[str, nn.Module]:
    """The transformer of the checkpoint as :func:`build_pipeline` has it, on ``device``; beside it, without memory, the
    connectors, which LoRA files name as well. Raises as that does."""
    dtype = torch.float32 if device.type == "cpu" else part_dtypes(LTX2T2VConfig.of(config))["transformer"]
    whole, transformer = load_transformer(checkpoint, device=device, dtype=dtype)
    if quantised(config):
        quantise_transformer(transformer, checkpoint, device)
    use_onednn(transformer, config.engine.onednn_linears)
    use_attention(config.engine.attention_backend, device)
    compile_transformer(transformer, config.engine.compile)
    with torch.device("meta"):
        return {"transformer": transformer, "connectors": TextConnectors(whole.connectors)}


def quantised(config: GeneratorConfig) -> bool:
    """Whether the transformer's weights are to be in fp8."""
    return config.engine.quantization is not None and config.engine.quantization.transformer_quant == "fp8"


def upsampler_file(checkpoint: Path, named: str | None) -> Path:
    """The named upsampler, or the only one in the folder ``spatial_upscaler`` beside the checkpoint, or the one of a
    folder in the layout of diffusers. Raises ConfigValidationError when there is none."""
    if named is not None:
        return Path(named).expanduser()
    if is_diffusers_folder(checkpoint):
        folder = checkpoint / DIFFUSERS_UPSAMPLER_FOLDER
        if folder.is_dir():
            return folder
        raise ConfigValidationError(
            "pipeline.components.upsampler_weights",
            f"the refine stage needs a latent upsampler: name its .safetensors file or its folder here; {checkpoint} "
            f"has no {DIFFUSERS_UPSAMPLER_FOLDER}",
        )
    folder = checkpoint_file(checkpoint).parent / UPSAMPLER_FOLDER
    files = sorted(folder.glob("*.safetensors"))
    if len(files) != 1:
        found = ", ".join(file.name for file in files[:5]) or "none"
        raise ConfigValidationError(
            "pipeline.components.upsampler_weights",
            f"the refine stage needs a latent upsampler: name its .safetensors file here, or put it into {folder} "
            f"(found there: {found})",
        )
    return files[0]


def part_dtypes(config: LTX2T2VConfig) -> dict[str, torch.dtype]:
    """The type in which each part computes on an accelerator; the vocoder always computes in float32."""
    return {
        "text_encoder": _DTYPES[config.text_encoder_precisions[0]],
        "connectors": _DTYPES[config.text_encoder_precisions[0]],
        "transformer": _DTYPES[config.dit_precision],
        "video_vae": _DTYPES[config.vae_precision],
        "audio_vae": _DTYPES[config.audio_decoder_precision],
        "upsampler": _DTYPES[config.upsampler_precision],
    }
