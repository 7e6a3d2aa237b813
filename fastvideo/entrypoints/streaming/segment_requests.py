"""From a prompt to a full request: what the client, the operator and the presets say about a session's segments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastvideo.api.errors import ConfigValidationError
from fastvideo.api.limits import RequestLimits, validate_request
from fastvideo.api.precedence import resolve_request
from fastvideo.api.schema import ContinuationState, GenerationRequest, OutputConfig, SamplingConfig, ServeConfig
from fastvideo.entrypoints.streaming.director import Prompt

_MAX_SEED = 2**63 - 1


@dataclass(frozen=True)
class SegmentRequests:
    """Makes the requests of one session; ``preset_defaults`` are those of the presets that the session runs with."""

    default_request: GenerationRequest
    limits: RequestLimits
    preset_defaults: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sampling(self) -> SamplingConfig:
        """The sampling of a segment whose prompt sets nothing: the size, rate and length of the stream."""
        return self._resolved(None).sampling

    def check(self, prompt: Prompt) -> None:
        """Raise ConfigValidationError, or LimitExceeded, with the path of what is wrong with a prompt."""
        if not prompt.text.strip():
            raise ConfigValidationError("prompt", "expected some text, got none")
        validate_request(self._resolved(prompt), self.limits)

    def build(
        self,
        prompt: Prompt,
        *,
        segment_idx: int,
        state: ContinuationState | None = None,
        image_path: str | None = None,
    ) -> GenerationRequest:
        """The request for one segment. Without a seed of its own, each segment gets the next one after the default, so
        that a stream does not repeat its noise."""
        request = self._resolved(prompt)
        if prompt.seed is None:
            request.sampling.seed = (request.sampling.seed + segment_idx) % (_MAX_SEED + 1)
        validate_request(request, self.limits)
        # The stream was announced with these; said explicitly, no generator fills in its own.
        for name in ("width", "height", "fps", "num_frames"):
            setattr(request.sampling, name, getattr(request.sampling, name))
        if image_path is not None:
            request.inputs.image_path = image_path
        request.state = state
        request.output = OutputConfig(save_video=False, return_frames=True, return_state=True)
        return request

    def _resolved(self, prompt: Prompt | None) -> GenerationRequest:
        return resolve_request(
            None if prompt is None else _client_request(prompt),
            default_request=self.default_request,
            preset_defaults=self.preset_defaults,
        )


def operator_requests(
    config: ServeConfig, model_defaults: Mapping[str, Any], chosen: Mapping[str, Any] | None = None
) -> SegmentRequests:
    """The requests of a session: what the operator wrote, over the preset the client chose, over the model's own."""
    streaming = config.streaming
    assert streaming is not None
    return SegmentRequests(config.default_request, streaming.limits, {**model_defaults, **(chosen or {})})


def _client_request(prompt: Prompt) -> GenerationRequest:
    request = GenerationRequest(prompt=prompt.text)
    if prompt.negative_prompt is not None:
        # An empty one clears the operator's.
        request.negative_prompt = prompt.negative_prompt
    for name in ("seed", "num_inference_steps", "guidance_scale"):
        value = getattr(prompt, name)
        if value is not None:
            setattr(request.sampling, name, value)
    return request
