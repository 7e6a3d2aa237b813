"""From a request to a segment's batch: sizes, schedule, what it continues; checked before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass

from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.errors import ConfigValidationError, StateInvalid
from fastvideo.api.schema import GenerationRequest, GpuPoolConfig
from fastvideo.pipelines.basic.ltx2.batch import LTX2Batch, seeded_noise
from fastvideo.pipelines.basic.ltx2.continuation import LTX2ContinuationState
from fastvideo.pipelines.basic.ltx2.denoise_plan import DenoisePlan
from fastvideo.pipelines.basic.ltx2.guidance import Guidance, StreamGuidance
from fastvideo.pipelines.basic.ltx2.recipe import LTX2Recipe
from fastvideo.pipelines.basic.ltx2.references import Reference, read_references
from fastvideo.pipelines.basic.ltx2.segment_plan import (
    AUDIO_LATENTS_PER_SECOND,
    LOOKAHEAD_LATENTS,
    TEMPORAL_SCALE,
    SegmentPlan,
    latents_of_frames,
    rounded_frames,
)
from fastvideo.pipelines.basic.ltx2.sigmas import DISTILLED_SIGMAS, REFINE_SIGMAS, refine_sigmas, schedule
from fastvideo.pipelines.basic.ltx2.stage_overrides import REFINE, denoise_override, refine_override
from fastvideo.pipelines.basic.ltx2.support import UNGUIDED

# In a state's metadata: the rate its numbers of frames refer to, and the frames emitted in the stream so far.
FPS_KEY = "fps"
STREAM_FRAMES_KEY = "stream_frames"
# The refine stage works at this many times the height and width of the first.
UPSAMPLING = 2
_MAX_STREAM_FRAMES = 2**53
# The span that the model was trained on; it also bounds how much work a state can ask for.
_MAX_CONTEXT_S = 20.0


@dataclass(frozen=True)
class ContinuationSettings:
    """How segments are joined: trailing frames that the next one begins with (8k+1), and frames dropped at the end.

    The sound that it takes over are the latents as they are or, with ``reencode_audio``, their waveform encoded anew.
    """

    overlap_frames: int = 9
    end_offset_frames: int = 0
    reencode_audio: bool = False

    @classmethod
    def of(cls, pool: GpuPoolConfig) -> ContinuationSettings:
        """From ``streaming.pool``. Raises ConfigValidationError."""
        path = "streaming.pool"
        overlap, end_offset = pool.conditioning_num_frames, pool.conditioning_end_offset
        if overlap < 1 or overlap % TEMPORAL_SCALE != 1:
            raise ConfigValidationError(
                f"{path}.conditioning_num_frames", f"expected 8k+1 frames (1, 9, 17), got {overlap}"
            )
        if end_offset < 0:
            raise ConfigValidationError(
                f"{path}.conditioning_end_offset", f"expected 0 or more frames, got {end_offset}"
            )
        return cls(overlap, end_offset, pool.enable_audio_reencode)


@dataclass(frozen=True)
class ModelGeometry:
    """What the sizes of a request must fit, and the noise levels (from 1, without the final 0) of a distilled model."""

    spatial_scale: int
    text_registers: int
    max_text_tokens: int
    distilled_sigmas: tuple[float, ...] = DISTILLED_SIGMAS


def make_batch(
    request: GenerationRequest,
    geometry: ModelGeometry,
    settings: ContinuationSettings,
    cancel: CancellationToken,
    recipe: LTX2Recipe | None = None,
) -> LTX2Batch:
    """The batch for a resolved request with one prompt.

    The frame count is rounded to the nearest 8k+1. Segment n of a stream draws its noise from ``seed + n``, so that the
    segments of one seed differ. Raises ConfigValidationError, StateInvalid or ImageInvalid.
    """
    sampling = request.sampling
    if not isinstance(request.prompt, str):
        raise ConfigValidationError("prompt", f"expected one prompt, got {type(request.prompt).__name__}")
    recipe = recipe or LTX2Recipe()
    for name, size_px in (("height", sampling.height), ("width", sampling.width)):
        _check_size(f"sampling.{name}", size_px, geometry.spatial_scale * (UPSAMPLING if recipe.refines else 1))
    if recipe.sound is not None:
        _check_sound_alone(request, recipe)
    state = None if request.state is None else _read_state(request)
    plan = _plan(request, state, end_offset=settings.end_offset_frames if request.output.return_state else 0)
    return LTX2Batch(
        prompt=request.prompt,
        plan=plan,
        stages=_stages(request, recipe, geometry),
        negative_prompt=request.negative_prompt or "",
        noise=seeded_noise(sampling.seed + (0 if state is None else state.segment_index + 1)),
        text_tokens=_text_tokens(sampling.max_sequence_length, geometry),
        references=_references(request, plan, recipe),
        state=state,
        sound_alone=recipe.sound is not None,
        cancel=cancel,
    )


def _check_sound_alone(request: GenerationRequest, recipe: LTX2Recipe) -> None:
    for path, given in {
        "state": request.state is not None,
        "output.return_state": request.output.return_state,
        "runtime.return_trajectory_latents": request.runtime.return_trajectory_latents,
        "runtime.return_trajectory_decoded": request.runtime.return_trajectory_decoded,
    }.items():
        if given:
            raise ConfigValidationError(path, "this is for segments with a picture, and this generator makes sound")
    if recipe.sound == "for a clip" and request.inputs.video_path is None:
        raise ConfigValidationError("inputs.video_path", "this generator makes the sound for a clip: name its file")


def _references(request: GenerationRequest, plan: SegmentPlan, recipe: LTX2Recipe) -> tuple[Reference, ...]:
    references = read_references(request.inputs, plan)
    if recipe.sound == "from text" and references:
        raise ConfigValidationError("inputs", "this generator makes sound from text; it looks at no images or clips")
    if recipe.sound == "for a clip":
        frames = len(references[0].frames)
        if len(references) > 1 or frames < plan.num_frames:
            raise ConfigValidationError(
                "sampling.num_frames",
                f"the sound is made for one clip as long as itself; the clip has {frames} frames (of 8k+1), asked for "
                f"are {plan.num_frames}",
            )
    return references


def _check_size(path: str, size_px: int, scale: int) -> None:
    if size_px % scale or size_px < scale:
        below = max(size_px // scale, 1) * scale
        raise ConfigValidationError(path, f"expected a multiple of {scale} px such as {below}, got {size_px}")


def _text_tokens(asked: int | None, geometry: ModelGeometry) -> int | None:
    if asked is None:
        return None
    if asked < 1 or asked % geometry.text_registers or asked > geometry.max_text_tokens:
        raise ConfigValidationError(
            "sampling.max_sequence_length",
            f"expected a multiple of {geometry.text_registers} up to {geometry.max_text_tokens}, got {asked}",
        )
    return asked


def _stages(request: GenerationRequest, recipe: LTX2Recipe, geometry: ModelGeometry) -> tuple[DenoisePlan, ...]:
    sampling, distilled = request.sampling, geometry.distilled_sigmas
    height, width = sampling.height, sampling.width
    if recipe.sound == "from text":
        # The transformer wants some picture. The sound does not hear it, so that the smallest one will do.
        height = width = geometry.spatial_scale
    if not recipe.refines:
        return (_denoise_plan(request, recipe, distilled, height=height, width=width),)
    given = request.stage_overrides.get(REFINE, {})
    values = refine_override({**recipe.stage_values.get(REFINE, {}), **given})
    refine = DenoisePlan(
        REFINE,
        height,
        width,
        sigmas=refine_sigmas(values.num_inference_steps or len(REFINE_SIGMAS) - 1),
        image_crf=values.image_crf or 0,
        add_noise=recipe.add_noise,
        position_offset_s=values.video_position_offset_sec,
    )
    first = _denoise_plan(request, recipe, distilled, height=height // UPSAMPLING, width=width // UPSAMPLING)
    return (first, refine)


def _denoise_plan(
    request: GenerationRequest, recipe: LTX2Recipe, distilled: tuple[float, ...], *, height: int, width: int
) -> DenoisePlan:
    sampling = request.sampling
    given = request.stage_overrides.get("denoise", {})
    values = denoise_override({**recipe.stage_values.get("denoise", {}), **given})
    steps = values.num_inference_steps or sampling.num_inference_steps
    guidance, alone = Guidance(), recipe.sound == "from text"
    if recipe.guided:
        video_cfg = sampling.guidance_scale if values.guidance_scale is None else values.guidance_scale
        shared = {
            "stg": values.stg_scale or 0.0,
            # Who hears nothing of the other stream anyway cannot be moved away from that.
            "modality": 1.0 if alone or values.modality_scale is None else values.modality_scale,
            "rescale": sampling.guidance_rescale,
        }
        audio_cfg = video_cfg if values.audio_guidance_scale is None else values.audio_guidance_scale
        guidance = Guidance(StreamGuidance(cfg=video_cfg, **shared), StreamGuidance(cfg=audio_cfg, **shared))
    elif values.guidance_scale not in (None, 1.0):
        raise ConfigValidationError("stage_overrides.denoise.guidance_scale", f"only 1.0 is supported ({UNGUIDED})")
    return DenoisePlan(
        "denoise",
        height,
        width,
        schedule(steps, sampling.sigmas, distilled=() if recipe.guided else distilled),
        guidance,
        batch_cfg=sampling.batch_cfg,
        image_crf=values.image_crf or 0,
        isolated=alone,
    )


def _read_state(request: GenerationRequest) -> LTX2ContinuationState:
    assert request.state is not None
    sampling = request.sampling
    state = LTX2ContinuationState.from_continuation_state(request.state)
    if state.video_frames_blob_id is not None or state.audio_latents_blob_id is not None:
        raise StateInvalid("the state refers to blobs of a store; put them inline before it is generated from")
    if state.video_conditioning_frame_idx != 0:
        raise StateInvalid("video_conditioning_frame_idx: only 0, the segment's head, is supported")
    frames = state.video_frames or []
    if frames:
        if len(frames) % TEMPORAL_SCALE != 1:
            raise StateInvalid(f"a state continues from 8k+1 frames, got {len(frames)}")
        height, width = frames[0].shape[:2]
        if (height, width) != (sampling.height, sampling.width):
            raise StateInvalid(
                f"the state's frames are {width}x{height}, the request asks for {sampling.width}x{sampling.height}; "
                "a stream keeps its size"
            )
    fps = state.metadata.get(FPS_KEY, sampling.fps)
    if type(fps) is not int or fps != sampling.fps:
        raise StateInvalid(f"the state was made at {str(fps)[:20]} fps, the request asks for {sampling.fps}")
    return state


def _plan(request: GenerationRequest, state: LTX2ContinuationState | None, *, end_offset: int) -> SegmentPlan:
    num_frames, fps = rounded_frames(request.sampling.num_frames), request.sampling.fps
    lookahead = LOOKAHEAD_LATENTS if request.output.return_state else 0
    if state is None:
        return SegmentPlan.make(num_frames, fps, end_offset_frames=end_offset, lookahead_latents=lookahead)
    before = state.metadata.get(STREAM_FRAMES_KEY, 0)
    if type(before) is not int or not 0 <= before <= _MAX_STREAM_FRAMES:
        raise StateInvalid(f"metadata.{STREAM_FRAMES_KEY}: expected a count of frames, got {str(before)[:20]!r}")
    carried = 0
    if state.audio_latents is not None:
        carried = min(latents_of_frames(state.audio_conditioning_num_frames, fps), state.audio_latents.shape[2])
    if max(state.video_position_offset_sec, carried / AUDIO_LATENTS_PER_SECOND) > _MAX_CONTEXT_S:
        raise StateInvalid(f"the sound before the picture is longer than {_MAX_CONTEXT_S:g} s")
    return SegmentPlan.make(
        num_frames,
        fps,
        overlap_frames=len(state.video_frames or []),
        end_offset_frames=end_offset,
        audio_context_latents=carried,
        lookahead_latents=lookahead,
        position_offset_s=state.video_position_offset_sec,
        frames_before=before,
    )
