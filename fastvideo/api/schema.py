"""The typed configuration of generators, requests and servers: one place for all its names, and what files hold.

Plain dataclasses, importable without torch or a web framework.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from fastvideo.api.access_config import ApiKeyConfig, AuthConfig, Quota, QuotasConfig, SnapshotsConfig
from fastvideo.api.generation_request import (
    ContinuationState,
    GenerationPlan,
    GenerationRequest,
    InputConfig,
    OutputConfig,
    PlannedStage,
    ReferenceConfig,
    RequestRuntimeConfig,
    SamplingConfig,
)
from fastvideo.api.generator_config import (
    AttentionBackend,
    CompileConfig,
    ComponentConfig,
    EngineConfig,
    GeneratorConfig,
    OffloadConfig,
    ParallelismConfig,
    PipelineSelection,
    QuantizationConfig,
    WorkloadType,
)
from fastvideo.api.openai_config import OpenAIConfig
from fastvideo.api.prompt_config import (
    PromptEndpointConfig,
    PromptEnhancerConfig,
    PromptSafetyConfig,
)
from fastvideo.api.streaming_config import (
    GpuPoolConfig,
    PacingConfig,
    QueueConfig,
    RecordingsConfig,
    RequestLimits,
    ResumeConfig,
    StoresConfig,
    StreamingConfig,
    WarmupConfig,
)
from fastvideo.api.strict_config import StrictConfig
from fastvideo.api.tracing_config import TracingConfig

__all__ = [
    "ApiKeyConfig",
    "AttentionBackend",
    "AuthConfig",
    "CompileConfig",
    "ComponentConfig",
    "ContinuationState",
    "EngineConfig",
    "GenerationPlan",
    "GenerationRequest",
    "GeneratorConfig",
    "GpuPoolConfig",
    "InputConfig",
    "OffloadConfig",
    "OpenAIConfig",
    "OutputConfig",
    "PacingConfig",
    "ParallelismConfig",
    "PipelineSelection",
    "PlannedStage",
    "PromptEndpointConfig",
    "PromptEnhancerConfig",
    "PromptSafetyConfig",
    "QuantizationConfig",
    "QueueConfig",
    "Quota",
    "QuotasConfig",
    "RecordingsConfig",
    "ReferenceConfig",
    "RequestLimits",
    "RequestRuntimeConfig",
    "ResumeConfig",
    "RunConfig",
    "SamplingConfig",
    "ServeConfig",
    "ServerConfig",
    "SnapshotsConfig",
    "StoresConfig",
    "StreamingConfig",
    "TracingConfig",
    "WarmupConfig",
    "WorkloadType",
]


@dataclass
class ServerConfig(StrictConfig):
    """Where the server listens, for whom, and how much they may use."""

    host: str = "0.0.0.0"  # noqa: S104  # the documented default; a laptop's shipped configs bind to loopback
    port: int = 8000
    output_dir: str = "outputs/"
    log_format: Literal["text", "json"] = "text"
    tracing: TracingConfig = field(default_factory=TracingConfig)
    auth: AuthConfig = field(default_factory=AuthConfig)
    quotas: QuotasConfig = field(default_factory=QuotasConfig)
    snapshots: SnapshotsConfig = field(default_factory=SnapshotsConfig)


@dataclass
class RunConfig(StrictConfig):
    """A file for ``fastvideo generate``."""

    generator: GeneratorConfig
    request: GenerationRequest


@dataclass
class ServeConfig(StrictConfig):
    """A file for ``fastvideo serve``."""

    generator: GeneratorConfig
    server: ServerConfig = field(default_factory=ServerConfig)
    default_request: GenerationRequest = field(default_factory=GenerationRequest)
    streaming: StreamingConfig | None = None
    openai: OpenAIConfig | None = None
