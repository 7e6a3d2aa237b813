"""Every documented name that the design keeps can be imported from its documented module."""

from importlib import import_module

import pytest

import fastvideo.entrypoints.streaming

ENTRYPOINTS = {
    "fastvideo": "VideoGenerator __version__",
    "fastvideo.eval": "Evaluator MetricResult create_evaluator get_metric list_metrics register",
    "fastvideo.entrypoints.streaming_generator": "IncrementalVideoWriter StreamingVideoGenerator",
    "fastvideo.entrypoints.video_generator": "VideoGenerator",
}
CLI = {
    "bench": "BenchSubcommand",
    "bench_serving": "BaseDataset RandomDataset RequestFuncInput RequestFuncOutput VBenchDataset benchmark "
    "calculate_metrics wait_for_service",
    "cli_types": "CLISubcommand",
    "eval": "EvalSubcommand",
    "generate": "GenerateSubcommand",
    "inference_config": "build_generate_run_config build_serve_config",
    "main": "cmd_init main",
    "router_serve": "RouterServeSubcommand",
    "serve": "ServeSubcommand",
    "utils": "launch_distributed",
}
OPENAI = {
    "api_server": "create_app lifespan run_server",
    "common_api": "ModelCard available_models model_info retrieve_model",
    "image_api": "",
    "protocol": "ImageGenerationsRequest ImageResponse ImageResponseData ModelCard VideoGenerationsRequest "
    "VideoListResponse VideoResponse generate_request_id",
    "state": "clear_state get_default_request get_generator get_output_dir get_server_args set_state",
    "stores": "AsyncDictStore",
    "utils": "choose_image_ext merge_image_input_list parse_size save_image_to_path",
    "video_api": "",
}
_PROVIDERS = "LLMMessage LLMProvider LLMProviderError LLMRequest LLMResponse LLMTimeoutError"
STREAMING = {
    "gpu_pool": "GpuPool InProcessGpuPool PoolAcquireTimeout PoolAssignment PoolHealth SubprocessGpuPool worker_main",
    "health": "SERVICE_NAME build_health_router get_pool_status",
    "mock_server": "MockGenerator build_mock_app",
    "prompt": f"{_PROVIDERS} CerebrasProvider GroqProvider PromptEnhancer PromptOperation PromptSafetyFilter "
    "RewriteOptions RewriteResult SafetyDecision SafetyResult build_rewrite first_blocked",
    "prompt.enhancer": "PromptEnhancer PromptOperation",
    "prompt.providers": f"{_PROVIDERS} CerebrasProvider GroqProvider complete_openai_compatible",
    "prompt.providers.base": _PROVIDERS,
    "prompt.providers.cerebras": "CerebrasProvider",
    "prompt.providers.groq": "GroqProvider",
    "prompt.rewrite": "RewriteOptions RewriteResult build_rewrite",
    "prompt.safety": "PromptSafetyFilter SafetyDecision SafetyResult first_blocked",
    "protocol": "AutoExtensionUpdated ClientMessage ContinuationStateSnapshot EnhancementUpdated ErrorMessage "
    "GenerationPausedUpdated GpuAssigned LoopGenerationUpdated Ltx2SegmentComplete Ltx2SegmentStart Ltx2StreamComplete "
    "Ltx2StreamStart MediaInit MediaSegmentComplete QueueStatus SeedPromptsUpdated SegmentPromptSource ServerMessage "
    "SessionInitV2 SessionTimeout SnapshotState StepComplete parse_client_message",
    "router": "HttpProbe Replica ReplicaEndpoint ReplicaRegistry RouterConfig build_router_app run_health_check_loop",
    "router.config": "ReplicaEndpoint RouterConfig",
    "router.main": "build_router_app run_router",
    "router.registry": "Replica ReplicaHealth ReplicaRegistry ReplicaStatus",
    "server": "ServerState build_app run_server",
    "session": "InvalidSessionTransition Session SessionManager SessionRejected SessionState",
    "session_init_image": "SessionInitImage persist_session_init_image",
    "session_logger": "SessionLogEvent SessionLogger",
    "session_store": "BlobStore InMemoryBlobStore InMemorySessionStore SessionStore",
    "stream": "FragmentedMP4Chunk FragmentedMP4Encoder",
    "worker": "worker_main",
}
LTX2 = {
    "continuation": "DEFAULT_INLINE_THRESHOLD_BYTES LTX2ContinuationState LTX2_CONTINUATION_KIND "
    "LTX2_CONTINUATION_SCHEMA_VERSION",
    "pipeline_configs": "LTX2T2VConfig",
    "stage_overrides": "LTX2RefinePresetOverride LTX2RefineStageOverride refine_override_to_dict",
    "stages": "LTX2AudioDecodingStage LTX2DenoisingStage LTX2LatentPreparationStage LTX2TextEncodingStage",
    "stages.ltx2_audio_decoding": "LTX2AudioDecodingStage",
    "stages.ltx2_denoising": "LTX2DenoisingStage",
    "stages.ltx2_latent_preparation": "LTX2LatentPreparationStage",
    "stages.ltx2_text_encoding": "LTX2TextEncodingStage",
}
MODULES = {
    **ENTRYPOINTS,
    **{f"fastvideo.entrypoints.cli.{name}": names for name, names in CLI.items()},
    **{f"fastvideo.entrypoints.openai.{name}": names for name, names in OPENAI.items()},
    **{f"fastvideo.entrypoints.streaming.{name}": names for name, names in STREAMING.items()},
    **{f"fastvideo.pipelines.basic.ltx2.{name}": names for name, names in LTX2.items()},
}
METHODS = {
    "fastvideo.entrypoints.cli.cli_types.CLISubcommand": "cmd subparser_init validate",
    "fastvideo.entrypoints.openai.stores.AsyncDictStore": "get list_values pop update_fields upsert",
    "fastvideo.entrypoints.streaming.gpu_pool.GpuPool": "acquire health release run shutdown",
    "fastvideo.entrypoints.streaming.gpu_pool.SubprocessGpuPool": "start",
    "fastvideo.entrypoints.streaming.prompt.PromptEnhancer": "auto_extend enhance register_provider "
    "reload_system_prompts rewrite",
    "fastvideo.entrypoints.streaming.router.ReplicaRegistry": "select",
    "fastvideo.entrypoints.streaming.session.Session": "transition",
    "fastvideo.entrypoints.streaming.session.SessionManager": "reap_timed_out",
    "fastvideo.entrypoints.streaming.session_logger.SessionLogger": "close close_all log",
    "fastvideo.entrypoints.streaming.session_store.BlobStore": "drop get put",
    "fastvideo.entrypoints.streaming.session_store.SessionStore": "drop hydrate snapshot store",
    "fastvideo.entrypoints.streaming.stream.FragmentedMP4Encoder": "close encode",
    "fastvideo.entrypoints.streaming_generator.StreamingVideoGenerator": "finalize reset shutdown step step_async",
    "fastvideo.entrypoints.video_generator.VideoGenerator": "default_health_check_request from_config from_file "
    "from_pretrained generate generate_async generate_video merge_lora_weights set_lora_adapter shutdown "
    "unmerge_lora_weights",
    "fastvideo.pipelines.basic.ltx2.continuation.LTX2ContinuationState": "from_continuation_state "
    "to_continuation_state",
}
STREAMING_PACKAGE = (
    "BlobStore FragmentedMP4Chunk FragmentedMP4Encoder GpuPool InMemoryBlobStore InMemorySessionStore "
    "InProcessGpuPool LLMProvider MockGenerator PoolAcquireTimeout PromptEnhancer PromptSafetyFilter SafetyDecision "
    "Session SessionLogEvent SessionLogger SessionManager SessionState SessionStore SubprocessGpuPool build_app "
    "build_health_router build_mock_app get_pool_status run_server"
)
# A typed configuration is the only one, so that what the flat one had has no place.
NOT_KEPT = {"fastvideo.entrypoints.video_generator.VideoGenerator": "from_fastvideo_args"}


def missing(owner, names):
    return [name for name in names.split() if not hasattr(owner, name)]


def at(path):
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_its_documented_names(module):
    assert missing(import_module(module), MODULES[module]) == []


@pytest.mark.parametrize("path", METHODS)
def test_a_class_has_its_documented_methods(path):
    assert missing(at(path), METHODS[path]) == []


def test_the_streaming_package_lists_the_documented_names_and_has_them():
    listed = fastvideo.entrypoints.streaming.__all__
    assert listed == sorted(STREAMING_PACKAGE.split())
    assert missing(fastvideo.entrypoints.streaming, STREAMING_PACKAGE) == []


@pytest.mark.parametrize("path", NOT_KEPT)
def test_what_is_not_kept_is_not_there(path):
    assert missing(at(path), NOT_KEPT[path]) == NOT_KEPT[path].split()
