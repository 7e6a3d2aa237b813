"""The messages: what is accepted, what is refused, and what goes out."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from fastvideo.entrypoints.streaming import protocol
from fastvideo.entrypoints.streaming.protocol import (
    ClientMessage,
    ContinuationStateSnapshot,
    ErrorMessage,
    GpuAssigned,
    Ltx2SegmentComplete,
    Ltx2StreamComplete,
    MediaInit,
    Ping,
    QueueStatus,
    SegmentPromptSource,
    SegmentTimings,
    ServerMessage,
    SessionInitV2,
    SessionResume,
    StateEnvelope,
    StepComplete,
    encode_client_message,
    encode_server_message,
    parse_client_message,
    parse_client_text,
    parse_server_text,
)


def _types(union: Any) -> dict[str, type[BaseModel]]:
    classes = get_args(get_args(union)[0])
    return {cls.model_fields["type"].default: cls for cls in classes}


CLIENT, SERVER = _types(ClientMessage), _types(ServerMessage)

DOCUMENTED_CLIENT_FIELDS = {
    "session_init_v2": {
        "client_id": None,
        "preset": None,
        "preset_label": None,
        "curated_prompts": [],
        "initial_image": None,
        "enhancement_enabled": False,
        "auto_extension_enabled": False,
        "loop_generation_enabled": False,
        "single_clip_mode": False,
        "stream_mode": "av_fmp4",
        "continuation_state": None,
    },
    "segment_prompt_source": {
        "prompt": ...,
        "negative_prompt": None,
        "source": "user",
        "seed": None,
        "num_inference_steps": None,
        "guidance_scale": None,
    },
    "seed_prompts_updated": {"seed_prompts": []},
    "enhancement_updated": {"enabled": ...},
    "auto_extension_updated": {"enabled": ...},
    "loop_generation_updated": {"enabled": ...},
    "generation_paused_updated": {"paused": ...},
    "snapshot_state": {},
}
DOCUMENTED_SERVER_FIELDS = {
    "queue_status": {"position": ..., "queue_depth": ...},
    "gpu_assigned": {"gpu_id": ..., "session_timeout": ...},
    "ltx2_stream_start": {"preset": None, "width": ..., "height": ..., "fps": ..., "num_frames": ...},
    "ltx2_segment_start": {"segment_idx": ..., "prompt": ..., "total_steps": ...},
    "step_complete": {"segment_idx": ..., "step": ..., "total_steps": ..., "stage": "denoise"},
    "media_init": {
        "segment_idx": ...,
        "mime": 'video/mp4; codecs="avc1.64001f, mp4a.40.2"',
        "stream_id": ...,
        "mode": "av_fmp4",
    },
    "media_segment_complete": {
        "segment_idx": ...,
        "stream_id": ...,
        "chunks": ...,
        "duration_ms": None,
        "pts_base_ms": None,
    },
    "ltx2_segment_complete": {"segment_idx": ..., "generation_time_ms": ..., "e2e_latency_ms": None},
    "ltx2_stream_complete": {"reason": "stop_requested"},
    "session_timeout": {"timeout_seconds": ...},
    "continuation_state_snapshot": {"state": ...},
    "error": {"code": "internal_error", "message": ..., "retryable": False},
}


@pytest.mark.parametrize(
    ("documented", "models"), [(DOCUMENTED_CLIENT_FIELDS, CLIENT), (DOCUMENTED_SERVER_FIELDS, SERVER)]
)
def test_every_documented_message_keeps_its_fields_their_order_and_defaults(
    documented: dict[str, dict[str, Any]], models: dict[str, type[BaseModel]]
) -> None:
    for name, fields in documented.items():
        own = models[name].model_fields
        assert list(own)[: len(fields) + 1] == ["type", *fields], name
        for field, default in fields.items():
            assert own[field].is_required() == (default is ...), f"{name}.{field}"
            if default is not ...:
                assert own[field].get_default() == default, f"{name}.{field}"


@pytest.mark.parametrize(
    ("documented", "models"), [(DOCUMENTED_CLIENT_FIELDS, CLIENT), (DOCUMENTED_SERVER_FIELDS, SERVER)]
)
def test_whatever_is_not_documented_is_marked_and_optional(
    documented: dict[str, dict[str, Any]], models: dict[str, type[BaseModel]]
) -> None:
    for name, model in models.items():
        extra = model.model_config.get("json_schema_extra")
        if name not in documented:
            assert extra == protocol.ADDED, name
            continue
        assert extra is None
        for field in list(model.model_fields)[len(documented[name]) + 1 :]:
            info = model.model_fields[field]
            assert info.json_schema_extra == protocol.ADDED, f"{name}.{field}"
            assert info.get_default() is None


@pytest.mark.parametrize("name", sorted(set(DOCUMENTED_CLIENT_FIELDS)))
def test_a_client_that_knows_only_the_documents_is_understood(name: str) -> None:
    needed = {"prompt": "a fox", "enabled": True, "paused": True}
    fields = {key: needed[key] for key, default in DOCUMENTED_CLIENT_FIELDS[name].items() if default is ...}
    assert type(parse_client_message({"type": name, **fields})) is CLIENT[name]


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"type": None},
        {"type": 5},
        {"type": ["ping"]},
        {"type": "no_such_type"},
        {"type": "\ud800"},
        {"prompt": "a fox"},
        {"type": "segment_prompt_source"},
        {"type": "enhancement_updated"},
    ],
)
def test_an_unknown_or_missing_type_or_field_is_refused(raw: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        parse_client_message(raw)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", 3),
        ("prompt", None),
        ("prompt", "x" * (protocol.MAX_TEXT_CHARS + 1)),
        ("prompt", "\ud800"),
        ("seed", True),
        ("seed", "3"),
        ("seed", 3.0),
        ("seed", 2**63),
        ("num_inference_steps", 10**400),
        ("guidance_scale", True),
        ("guidance_scale", "1"),
        ("guidance_scale", float("nan")),
        ("guidance_scale", float("inf")),
        ("source", "nobody"),
        ("request_id", 4),
        ("request_id", "x" * 257),
    ],
)
def test_a_prompt_message_is_strict_about_types_and_bounds(field: str, value: object) -> None:
    raw = {"type": "segment_prompt_source", "prompt": "a fox", field: value}
    with pytest.raises(ValidationError):
        parse_client_message(raw)


@pytest.mark.parametrize("value", [1, 0, "true", None])
def test_a_toggle_takes_only_true_and_false(value: object) -> None:
    with pytest.raises(ValidationError):
        parse_client_message({"type": "generation_paused_updated", "paused": value})


@pytest.mark.parametrize("field", ["position_ms", "buffered_ms", "stalls"])
@pytest.mark.parametrize("value", [-1, True, float("nan"), 1e300, None])
def test_a_playback_status_is_finite_and_not_negative(field: str, value: object) -> None:
    raw = {"type": "playback_status", "position_ms": 1.5, "buffered_ms": 2, "stalls": 0}
    parse_client_message(raw)
    with pytest.raises(ValidationError):
        parse_client_message(raw | {field: value})


@pytest.mark.parametrize("value", ["a", 7, -1])
def test_a_ping_id_is_text_or_a_whole_number_and_comes_back_as_it_was(value: str | int) -> None:
    message = parse_client_message({"type": "ping", "id": value})
    assert isinstance(message, Ping)
    assert json.loads(encode_server_message(protocol.Pong(id=message.id)))["id"] == value


@pytest.mark.parametrize("value", [True, 1.0, None, [], 2**63])
def test_other_ping_ids_are_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        parse_client_message({"type": "ping", "id": value})


def test_session_resume_parses_as_an_opening_message() -> None:
    message = parse_client_message({"type": "session_resume", "resume_token": "t", "last_sequence": 12})
    assert message == SessionResume(resume_token="t", last_sequence=12)


def test_the_opening_message_keeps_unknown_keys_and_others_ignore_them() -> None:
    opening = parse_client_message({"type": "session_init_v2", "theme": {"dark": None}})
    assert isinstance(opening, SessionInitV2)
    assert opening.model_extra == {"theme": {"dark": None}}
    prompt = parse_client_message({"type": "segment_prompt_source", "prompt": "a fox", "theme": 1})
    assert isinstance(prompt, SegmentPromptSource)
    assert "theme" not in prompt.model_dump()


@pytest.mark.parametrize(
    "extra",
    [
        {"curated_prompts": ["x"] * 1_000_000},
        {"curated_prompts": [1] * 1_000_000},
        {"theme": "x" * (protocol.MAX_EXTRA_BYTES + 1)},
        {"theme": object()},
        {"continuation_state": {"kind": "ltx2.v1"}},
        {"continuation_state": {"kind": "ltx2.v1", "payload": [1]}},
        {"continuation_state": {"kind": 1, "payload": {}}},
        {"initial_image": "cat.png"},
        {"stream_mode": "mjpeg"},
        {"client_id": "x" * 257},
    ],
)
def test_an_absurd_opening_message_is_refused_with_few_complaints(extra: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        parse_client_message({"type": "session_init_v2", **extra})
    assert caught.value.error_count() <= 2


def test_legacy_jpeg_parses_so_that_it_can_be_refused_with_a_sentence() -> None:
    opening = parse_client_message({"type": "session_init_v2", "stream_mode": "legacy_jpeg"})
    assert isinstance(opening, SessionInitV2)
    assert opening.stream_mode == "legacy_jpeg"


def test_deep_and_cyclic_extras_are_refused() -> None:
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    cyclic: dict[str, Any] = {"type": "session_init_v2"}
    cyclic["again"] = cyclic
    for raw in ({"type": "session_init_v2", "deep": deep}, cyclic):
        with pytest.raises(ValidationError):
            parse_client_message(raw)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nope",
        "[]",
        '"ping"',
        "[" * 100_000,
        '{"type":"ping","id":' + "9" * 10_000 + "}",
        '{"type":"segment_prompt_source","prompt":"\\ud800"}',
        '{"type":"segment_prompt_source","prompt":"a","guidance_scale":NaN}',
        '{"type":"segment_prompt_source","prompt":"a","guidance_scale":1e999}',
        b"\xff\xfe",
    ],
)
def test_text_that_is_no_message_is_one_kind_of_error(text: str | bytes) -> None:
    with pytest.raises(ValidationError):
        parse_client_text(text)


def test_null_fields_are_left_out_but_nulls_inside_a_payload_stay() -> None:
    assert json.loads(encode_server_message(QueueStatus(position=0, queue_depth=1))) == {
        "type": "queue_status",
        "position": 0,
        "queue_depth": 1,
    }
    state = StateEnvelope(kind="ltx2.v1", payload={"video": None, "n": [None]})
    snapshot = json.loads(encode_server_message(ContinuationStateSnapshot.of(state)))
    payload = {"video": None, "n": [None]}
    assert snapshot == {
        "type": "continuation_state_snapshot",
        "state": {"kind": "ltx2.v1", "payload": payload},
        "kind": "ltx2.v1",
        "payload": payload,
    }


def test_type_comes_first_in_every_encoded_message() -> None:
    assert encode_server_message(Ltx2StreamComplete()).startswith('{"type":"ltx2_stream_complete"')
    assert encode_client_message(SessionInitV2()).startswith('{"type":"session_init_v2"')


def test_an_error_takes_only_documented_codes() -> None:
    with pytest.raises(ValidationError):
        ErrorMessage(code="teapot", message="no")  # type: ignore[arg-type]


def test_what_is_not_finite_never_reaches_the_wire() -> None:
    with pytest.raises(ValidationError):
        Ltx2SegmentComplete(segment_idx=0, generation_time_ms=float("nan"))


def test_a_client_reads_what_the_server_wrote() -> None:
    for message in (
        GpuAssigned(gpu_id=0, session_timeout=300, model_id="mock"),
        MediaInit(segment_idx=0, stream_id="s"),
        StepComplete(segment_idx=0, step=1, total_steps=8),
        Ltx2SegmentComplete(segment_idx=0, generation_time_ms=1.5, timings=SegmentTimings(denoise=2.0)),
    ):
        assert parse_server_text(encode_server_message(message)) == message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = sorted({field for model in CLIENT.values() for field in model.model_fields} - {"type"})


@settings(max_examples=300, deadline=None)
@given(
    kind=st.sampled_from(sorted(CLIENT)) | st.text(max_size=12) | JSON,
    fields=st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=8), JSON | st.binary(max_size=4), max_size=6),
)
def test_any_mapping_is_a_message_or_a_validation_error(kind: object, fields: dict[str, object]) -> None:
    try:
        message = parse_client_message({**fields, "type": kind})
    except ValidationError:
        return
    assert message.type == kind
    encode_client_message(message)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200) | st.binary(max_size=200) | JSON.map(json.dumps))
def test_any_text_is_a_message_or_a_validation_error(text: str | bytes) -> None:
    try:
        parse_client_text(text)
    except ValidationError:
        return


@pytest.mark.parametrize("raw", [None, [], 3, "ping", object()])
def test_what_is_no_mapping_is_a_validation_error(raw: Any) -> None:
    with pytest.raises(ValidationError):
        parse_client_message(raw)


TEXT = st.text(st.characters(codec="utf-8"), max_size=20)


@given(
    prompt=TEXT,
    negative_prompt=st.none() | TEXT,
    seed=st.none() | st.integers(-(2**63), 2**63 - 1),
    guidance_scale=st.none() | st.floats(allow_nan=False, allow_infinity=False),
)
def test_a_prompt_survives_encoding(
    prompt: str, negative_prompt: str | None, seed: int | None, guidance_scale: float | None
) -> None:
    message = SegmentPromptSource(
        prompt=prompt, negative_prompt=negative_prompt, seed=seed, guidance_scale=guidance_scale
    )
    assert parse_client_text(encode_client_message(message)) == message
