import pytest

from fastvideo.api import ConfigValidationError, parse_config
from fastvideo.api.schema import ServeConfig
from fastvideo.api.support import check_serve_config


def serve_config(**streaming):
    return parse_config(ServeConfig, {"generator": {"model_path": "mock:"}, "streaming": streaming})


def test_the_defaults_are_offered():
    config = serve_config()
    assert check_serve_config(config) is config


@pytest.mark.parametrize(
    "pool",
    [
        {"backend": "in_process"},
        {"backend": "in_process", "num_workers": 1},
        {"backend": "subprocess"},
        {"backend": "subprocess", "num_workers": 4, "worker_memory_gib": 64.0},
        {"num_workers": 2},
        {"backend": "ray", "num_workers": 2},
        {"backend": "ray", "num_workers": 2, "ray_address": "auto"},
    ],
)
def test_workers_in_this_process_and_in_others_are_offered(pool):
    check_serve_config(serve_config(pool=pool))


@pytest.mark.parametrize(
    ("streaming", "path"),
    [
        ({"stream_mode": "legacy_jpeg"}, "streaming.stream_mode"),
        ({"prompt": {"timeout_ms": 0}}, "streaming.prompt.timeout_ms"),
        ({"prompt": {"hedge_after_ms": -1}}, "streaming.prompt.hedge_after_ms"),
        ({"safety": {"enabled": True}}, "streaming.safety.classifier_path"),
        ({"pool": {"backend": "subprocess", "ray_address": "auto"}}, "streaming.pool.ray_address"),
        ({"pool": {"num_workers": 0}}, "streaming.pool.num_workers"),
        ({"pool": {"num_workers": 2, "backend": "in_process"}}, "streaming.pool.num_workers"),
        ({"pool": {"segment_timeout_seconds": 0.0}}, "streaming.pool.segment_timeout_seconds"),
        ({"pool": {"worker_memory_gib": -1.0}}, "streaming.pool.worker_memory_gib"),
        ({"pool": {"conditioning_num_frames": 8}}, "streaming.pool.conditioning_num_frames"),
        ({"max_sessions": 0}, "streaming.max_sessions"),
        ({"queue": {"max_length": -1}}, "streaming.queue.max_length"),
    ],
)
def test_what_is_not_offered_is_refused_with_its_path(streaming, path):
    with pytest.raises(ConfigValidationError) as caught:
        check_serve_config(serve_config(**streaming))
    assert caught.value.path == path


def test_a_default_request_beyond_the_limits_is_refused_at_the_start():
    raw = {
        "generator": {"model_path": "mock:"},
        "default_request": {"sampling": {"num_inference_steps": 600}},
        "streaming": {},
    }
    with pytest.raises(ConfigValidationError, match=r"streaming\.limits") as caught:
        check_serve_config(parse_config(ServeConfig, raw))
    assert caught.value.path == "default_request.sampling.num_inference_steps"
