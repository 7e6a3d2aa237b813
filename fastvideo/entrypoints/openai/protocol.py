"""The requests and answers of the HTTP API, as its OpenAPI document shows them."""

from __future__ import annotations

import time
import uuid
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

ResponseFormat = Literal["url", "b64_json"]

_MAX_I63 = 2**63 - 1
_Prompt = Annotated[str, Field(min_length=1, description="What is to be seen and heard.")]
_Count = Annotated[int, Field(ge=1, le=1_000_000)]
_Seed = Annotated[int, Field(ge=0, le=_MAX_I63)]
_Scale = Annotated[float, Field(ge=0, le=1_000)]
_Name = Annotated[str, Field(max_length=200)]
_Seconds = Annotated[float, Field(gt=0, le=86_400)]
# The official library has them as text.
_SecondsText = Annotated[str, Field(pattern=r"^[0-9]{1,5}(\.[0-9]{1,3})?$")]
_Size = Annotated[str, Field(pattern=r"^(auto|\s*[0-9]{1,5}\s*[xX]\s*[0-9]{1,5}\s*)?$", description="WIDTHxHEIGHT")]


def generate_request_id() -> str:
    """122 random bits as 32 hexadecimal digits, which nobody guesses."""
    return uuid.uuid4().hex


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class ImageReference(_Request):
    """An image by value."""

    image_url: str = Field(description="A data:image/...;base64, URL; nothing is fetched.")


class StateEnvelope(_Request):
    """A continuation state, as an earlier video gave it."""

    kind: Annotated[str, Field(min_length=1, max_length=100)]
    payload: dict[str, Any]
    signature: Annotated[str, Field(max_length=100)] | None = Field(
        None, description="That this service gave it out; to be brought back with it, where there is one."
    )


class OutputOptions(_Request):
    """What comes back beside the video."""

    return_state: bool = False


class VideoGenerationsRequest(_Request):
    """A video to make. What is absent is up to the operator and to the model's preset."""

    prompt: _Prompt
    input_reference: str | ImageReference | None = Field(
        None, description="The first image: a file in a form, or a data: URL. Paths and other URLs are refused."
    )
    reference_url: str | None = Field(None, description="The same as a data: URL; nothing is fetched.")
    model: _Name | None = None
    seconds: _Seconds | _SecondsText | None = Field(None, description="Of the video; num_frames wins over it.")
    size: _Size | None = None
    fps: _Count | None = None
    num_frames: _Count | None = None
    seed: _Seed | None = None
    num_inference_steps: _Count | None = None
    guidance_scale: _Scale | None = None
    guidance_scale_2: _Scale | None = None
    true_cfg_scale: _Scale | None = None
    negative_prompt: str | None = None
    enable_teacache: bool = False
    output_path: None = Field(None, description="Where files go is the operator's to say.")
    response_format: ResponseFormat = "url"
    state: StateEnvelope | None = Field(None, description="Go on from the end of an earlier video.")
    output: OutputOptions | None = None
    return_state: bool = Field(False, description="The same as output.return_state.")
    user: _Name | None = None


class ImageGenerationsRequest(_Request):
    """Images to make: each is one frame of the model's."""

    prompt: _Prompt
    model: _Name | None = None
    n: Annotated[int, Field(ge=1, le=10)] = 1
    quality: _Name | None = None
    response_format: ResponseFormat = "url"
    size: _Size | None = None
    style: _Name | None = None
    background: Literal["auto", "opaque", "transparent"] = "auto"
    output_format: Literal["png", "jpeg", "jpg", "webp"] | None = None
    user: _Name | None = None
    num_inference_steps: _Count | None = None
    guidance_scale: _Scale | None = None
    true_cfg_scale: _Scale | None = None
    seed: _Seed | None = None
    negative_prompt: str | None = None
    enable_teacache: bool = False


class ImageEditsRequest(ImageGenerationsRequest):
    """Images to make from one that came as a file ``image`` (or ``image[]``), or as a data: URL ``url``."""

    url: str | list[str] | None = Field(None, description="A data:image/...;base64, URL; nothing is fetched.")


class VideoError(BaseModel):
    """Why a video could not be made."""

    code: str
    message: str


class VideoResponse(BaseModel):
    """A video and how far it is. Times in seconds since the epoch, ``progress`` in percent."""

    id: str
    object: Literal["video"] = "video"
    model: str = ""
    status: Literal["queued", "in_progress", "completed", "failed", "deleted"] = "queued"
    progress: Annotated[int, Field(ge=0, le=100)] = 0
    created_at: int
    completed_at: int | None = None
    expires_at: int | None = None
    prompt: str | None = None
    size: str = ""
    seconds: str = "4"
    quality: str = "standard"
    url: str | None = None
    b64_json: str | None = None
    file_path: Annotated[None, Field(description="Always null: paths of the server are nobody's business.")] = None
    error: VideoError | None = None
    peak_memory_mb: float | None = None
    inference_time_s: float | None = None
    state: StateEnvelope | None = None
    remixed_from_video_id: str | None = None
    deleted: bool | None = None


class VideoListResponse(BaseModel):
    """Some of the videos."""

    object: Literal["list"] = "list"
    data: list[VideoResponse]
    first_id: str | None = None
    last_id: str | None = None
    has_more: bool = False


class MediaData(BaseModel):
    """One result: where it is, or what it is."""

    url: str | None = None
    b64_json: str | None = None


class VideoGenerationsResponse(BaseModel):
    """A video that its client waited for."""

    id: str
    object: Literal["video.generation"] = "video.generation"
    created: int
    model: str
    data: list[MediaData]
    size: str
    seconds: str
    inference_time_s: float | None = None
    peak_memory_mb: float | None = None
    state: StateEnvelope | None = None


class ImageResponseData(MediaData):
    """One image."""

    revised_prompt: str | None = None
    file_path: None = None


class ImageResponse(BaseModel):
    """Images that their client waited for."""

    id: str
    created: int
    data: list[ImageResponseData]
    peak_memory_mb: float | None = None
    inference_time_s: float | None = None


class ModelCard(BaseModel):
    """A model that is served."""

    id: str
    object: Literal["model"] = "model"
    created: int = Field(default_factory=lambda: int(time.time()))
    owned_by: str = "fastvideo"
    root: str | None = None


class ModelList(BaseModel):
    """The models that are served."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


class ModelInfo(BaseModel):
    """What the operator serves."""

    model_path: str


class ErrorDetail(BaseModel):
    """What is wrong."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorResponse(BaseModel):
    """Every error has this form."""

    error: ErrorDetail
