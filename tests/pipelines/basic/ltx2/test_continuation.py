import io
import json
import struct
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from fastvideo.api.errors import StateInvalid
from fastvideo.api.schema import ContinuationState
from fastvideo.pipelines.basic.ltx2.continuation import (
    DEFAULT_INLINE_THRESHOLD_BYTES,
    FRAMES_MIME,
    LTX2_CONTINUATION_KIND,
    TENSOR_MIME,
    LTX2ContinuationState,
)
from fastvideo.pipelines.basic.ltx2.continuation_blobs import (
    decode_tensor,
    encode_png,
    encode_tensor,
    pack_frames,
    to_base64,
    unpack_frames,
)


class DictStore:
    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.mimes: dict[str, str] = {}

    def put(self, data: bytes, *, mime: str = "application/octet-stream") -> str:
        blob_id = f"blob-{len(self.blobs)}"
        self.blobs[blob_id], self.mimes[blob_id] = data, mime
        return blob_id

    def get(self, blob_id: str) -> bytes:
        return self.blobs[blob_id]


def noise_frames(count: int, height: int = 8, width: int = 12, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(count)]


def a_state(**changes: object) -> LTX2ContinuationState:
    values: dict[str, object] = {
        "segment_index": 3,
        "video_frames": noise_frames(9),
        "audio_latents": torch.randn(1, 8, 51, 16, generator=torch.Generator().manual_seed(0)),
        "audio_sample_rate": 48000,
        "audio_conditioning_num_frames": 49,
        "audio_conditioning_strength": 0.0,
        "video_position_offset_sec": 40 / 24,
        "metadata": {"fps": 24},
    }
    return LTX2ContinuationState(**(values | changes))  # type: ignore[arg-type]


def through_json(state: ContinuationState) -> ContinuationState:
    return ContinuationState(kind=state.kind, payload=json.loads(json.dumps(state.payload)))


def payload(**changes: object) -> ContinuationState:
    return ContinuationState(kind=LTX2_CONTINUATION_KIND, payload=dict(changes))


def assert_same(left: LTX2ContinuationState, right: LTX2ContinuationState) -> None:
    assert left.video_frames is not None
    assert right.video_frames is not None
    assert all(np.array_equal(a, b) for a, b in zip(left.video_frames, right.video_frames, strict=True))
    assert left.audio_latents is not None
    assert right.audio_latents is not None
    assert left.audio_latents.dtype == right.audio_latents.dtype
    assert torch.equal(left.audio_latents, right.audio_latents)
    for name in (
        "segment_index",
        "video_conditioning_frame_idx",
        "video_conditioning_strength",
        "audio_sample_rate",
        "audio_conditioning_num_frames",
        "audio_conditioning_strength",
        "video_position_offset_sec",
        "metadata",
    ):
        assert getattr(left, name) == getattr(right, name), name


def test_a_state_survives_json_unchanged() -> None:
    state = a_state()
    envelope = state.to_continuation_state()
    assert envelope.kind == "ltx2.v1"
    assert envelope.payload["schema_version"] == 1
    assert_same(LTX2ContinuationState.from_continuation_state(through_json(envelope)), state)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_audio_latents_keep_their_dtype_and_bits(dtype: torch.dtype) -> None:
    latents = torch.randn(1, 8, 5, 16).to(dtype)
    restored = decode_tensor(encode_tensor(latents))
    assert restored.dtype == dtype
    assert torch.equal(restored, latents)


def test_an_empty_payload_reads_as_the_documented_defaults() -> None:
    state = LTX2ContinuationState.from_continuation_state(payload())
    assert state == LTX2ContinuationState()
    assert state.audio_conditioning_strength == 1.0
    assert state.video_conditioning_strength == 1.0


def test_parts_above_the_threshold_go_to_the_store_with_their_mime() -> None:
    store = DictStore()
    envelope = a_state().to_continuation_state(blob_store=store, inline_threshold_bytes=16)
    assert envelope.payload["video"] == {"blob_id": "blob-0", "frame_count": 9}
    assert envelope.payload["audio"] == {"blob_id": "blob-1"}
    assert store.mimes == {"blob-0": FRAMES_MIME, "blob-1": TENSOR_MIME}
    assert_same(LTX2ContinuationState.from_continuation_state(through_json(envelope), blob_store=store), a_state())


def test_without_a_store_everything_stays_inline() -> None:
    envelope = a_state().to_continuation_state(inline_threshold_bytes=1)
    assert set(envelope.payload["video"]) == {"frames_b64"}
    assert set(envelope.payload["audio"]) == {"safetensors_b64"}


def test_two_parts_just_below_the_threshold_do_not_both_stay_inline() -> None:
    frames = noise_frames(1, height=800, width=800)
    latents = torch.zeros(1, 8, 3600, 16)
    store = DictStore()
    envelope = a_state(video_frames=frames, audio_latents=latents).to_continuation_state(blob_store=store)
    assert len(encode_png(frames[0])) < DEFAULT_INLINE_THRESHOLD_BYTES
    assert len(encode_tensor(latents)) < DEFAULT_INLINE_THRESHOLD_BYTES
    assert len(store.blobs) == 1
    assert len(json.dumps(envelope.payload)) < 4 << 20


def test_a_blob_id_without_a_store_is_kept_and_passed_on() -> None:
    store = DictStore()
    envelope = a_state().to_continuation_state(blob_store=store, inline_threshold_bytes=1)
    restored = LTX2ContinuationState.from_continuation_state(envelope)
    assert restored.video_frames is None
    assert restored.audio_latents is None
    again = restored.to_continuation_state().payload
    assert again["video"] == {"blob_id": "blob-0"}
    assert again["audio"] == {"blob_id": "blob-1"}


def test_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^Expected ContinuationState\.kind"):
        LTX2ContinuationState.from_continuation_state(ContinuationState(kind="ltx9.v1", payload={}))


@pytest.mark.parametrize("version", [0, 2, "1", None, True])
def test_another_schema_version_is_refused(version: object) -> None:
    with pytest.raises(ValueError, match="Unsupported LTX-2 continuation schema"):
        LTX2ContinuationState.from_continuation_state(payload(schema_version=version))


@pytest.mark.parametrize("frame", [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8), [[0, 0, 0]]])
def test_frames_of_another_type_are_refused_on_encode(frame: object) -> None:
    with pytest.raises(ValueError, match="uint8 HxWx3"):
        LTX2ContinuationState(video_frames=[frame]).to_continuation_state()  # type: ignore[list-item]


def test_a_frame_without_pixels_is_refused_on_encode() -> None:
    with pytest.raises(StateInvalid, match="must have pixels"):
        encode_png(np.zeros((0, 4, 3), np.uint8))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (5, 1), (64, 33)])
def test_a_png_that_was_written_here_is_the_same_picture_to_any_reader(height: int, width: int) -> None:
    # Every other column of a wider array: rows need not lie next to one another.
    frame = noise_frames(1, height, 2 * width)[0][:, ::2]
    with Image.open(io.BytesIO(encode_png(frame)), formats=("PNG",)) as image:
        image.load()
        assert (image.mode, image.size) == ("RGB", (width, height))
        np.testing.assert_array_equal(np.asarray(image), frame)


def png_claiming(width: int, height: int) -> str:
    png = encode_png(noise_frames(1)[0])
    return to_base64(png[:16] + struct.pack(">II", width, height) + png[24:])


def safetensors(header: object, data: bytes = b"") -> str:
    text = json.dumps(header).encode()
    return to_base64(struct.pack("<Q", len(text)) + text + data)


def tensor_entry(dtype: str, shape: list[object], size: int) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}


@pytest.mark.parametrize(
    "changes",
    [
        {"segment_index": -1},
        {"segment_index": True},
        {"segment_index": 1.0},
        {"segment_index": 10**30},
        {"video_conditioning_strength": 1.5},
        {"video_conditioning_strength": float("nan")},
        {"audio_conditioning_strength": "0"},
        {"audio_conditioning_strength": None},
        {"audio_conditioning_num_frames": -1},
        {"video_position_offset_sec": -0.1},
        {"video_position_offset_sec": 1e9},
        {"audio_sample_rate": "48000"},
        {"metadata": []},
        {"metadata": {"a": "x" * (65 << 10)}},
        {"surprise": 1},
        {"video": []},
        {"video": {}},
        {"video": {"frames_b64": []}},
        {"video": {"frames_b64": "x"}},
        {"video": {"frames_b64": ["%%%%"]}},
        {"video": {"frames_b64": [to_base64(b"not a png")]}},
        {"video": {"frames_b64": [to_base64(encode_png(noise_frames(1)[0])[:60])]}},
        {"video": {"frames_b64": [png_claiming(60000, 60000)]}},
        {"video": {"frames_b64": [png_claiming(0, 1)]}},
        {"video": {"frames_b64": [png_claiming(4096, 4096)] * 6}},
        {"video": {"frames_b64": [png_claiming(8, 8)]}},
        {"video": {"frames_b64": [""] * 100000}},
        {"video": {"frames_b64": [to_base64(encode_png(f)) for f in (noise_frames(1) + noise_frames(1, 4, 4))]}},
        {"video": {"blob_id": 7}},
        {"video": {"blob_id": ""}},
        {"video": {"blob_id": "a", "extra": 1}},
        {"audio": {"safetensors_b64": 7}},
        {"audio": {"safetensors_b64": to_base64(b"123")}},
        {"audio": {"safetensors_b64": to_base64(struct.pack("<Q", 2**63) + b"{}")}},
        {"audio": {"safetensors_b64": safetensors([])}},
        {"audio": {"safetensors_b64": safetensors({"x": tensor_entry("F32", [1, 1, 1, 1], 4)}, b"0000")}},
        {"audio": {"safetensors_b64": safetensors({"t": tensor_entry("I64", [1, 1, 1, 1], 8)}, b"0" * 8)}},
        {"audio": {"safetensors_b64": safetensors({"t": tensor_entry("F32", [1, 1], 4)}, b"0000")}},
        {"audio": {"safetensors_b64": safetensors({"t": tensor_entry("F32", [1, 1, 1, 2**60], 4)}, b"0000")}},
        {"audio": {"safetensors_b64": safetensors({"t": tensor_entry("F32", [1, 1, 1, True], 4)}, b"0000")}},
        {"audio": {"safetensors_b64": safetensors({"t": {"dtype": "F32", "shape": [1, 1, 1, 1]}}, b"0000")}},
        {"audio": {"safetensors_b64": to_base64(encode_tensor(torch.full((1, 1, 1, 1), float("nan"))))}},
        {"audio": {"safetensors_b64": "A" * (30 << 20)}},
    ],
    ids=lambda changes: str(changes)[:60],
)
def test_a_malformed_payload_is_a_state_error(changes: dict[str, object]) -> None:
    with pytest.raises(StateInvalid):
        LTX2ContinuationState.from_continuation_state(payload(**changes))


def test_a_blob_that_the_store_does_not_have_is_a_state_error() -> None:
    with pytest.raises(StateInvalid, match="no such blob"):
        LTX2ContinuationState.from_continuation_state(payload(video={"blob_id": "gone"}), blob_store=DictStore())


def test_a_frame_count_that_contradicts_the_blob_is_a_state_error() -> None:
    store = DictStore()
    blob_id = store.put(pack_frames([encode_png(frame) for frame in noise_frames(2)]))
    state = payload(video={"blob_id": blob_id, "frame_count": 3})
    with pytest.raises(StateInvalid, match="frame_count"):
        LTX2ContinuationState.from_continuation_state(state, blob_store=store)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=9))
@settings(max_examples=50, deadline=None)
def test_packed_frames_unpack_to_the_same_files(files: list[bytes]) -> None:
    assert unpack_frames(pack_frames(files)) == files


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=4), st.data())
@settings(max_examples=50, deadline=None)
def test_every_truncation_of_a_frames_blob_is_refused(files: list[bytes], data: st.DataObject) -> None:
    blob = pack_frames(files)
    with pytest.raises(StateInvalid):
        unpack_frames(blob[: data.draw(st.integers(0, len(blob) - 1))])
    with pytest.raises(StateInvalid):
        unpack_frames(blob + b"\0")


@given(st.binary(max_size=200))
@example(struct.pack(">I", 2**32 - 1))
@example(struct.pack(">II", 1, 2**32 - 1))
@settings(max_examples=200, deadline=None)
def test_arbitrary_bytes_never_raise_anything_but_a_state_error(blob: bytes) -> None:
    for decode in (unpack_frames, decode_tensor):
        try:
            decode(blob)
        except StateInvalid:
            continue


@given(st.integers(0, 400), st.integers(0, 255))
@settings(max_examples=100, deadline=None)
def test_a_flipped_byte_in_a_png_is_a_state_error_or_another_picture_of_the_same_size(at: int, value: int) -> None:
    png = bytearray(encode_png(noise_frames(1)[0]))
    png[at % len(png)] = value
    try:
        state = LTX2ContinuationState.from_continuation_state(payload(video={"frames_b64": [to_base64(bytes(png))]}))
    except StateInvalid:
        return
    assert state.video_frames is not None
    assert state.video_frames[0].shape == (8, 12, 3)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KEYS = ["schema_version", "segment_index", "video", "audio", "metadata", "video_position_offset_sec", "frames_b64"]


@given(st.dictionaries(st.sampled_from(KEYS), json_values, max_size=4))
@settings(max_examples=200, deadline=None)
def test_arbitrary_json_never_raises_anything_but_a_state_error(raw: dict[str, object]) -> None:
    try:
        state = LTX2ContinuationState.from_continuation_state(payload(**raw))
    except StateInvalid:
        return
    assert state.segment_index >= 0


def test_importing_the_contract_imports_no_torch() -> None:
    program = (
        "import sys, fastvideo.pipelines.basic.ltx2.continuation as c;"
        "c.LTX2ContinuationState().to_continuation_state();"
        "sys.exit(any(m in sys.modules for m in ('torch', 'safetensors', 'PIL', 'av', 'fastapi')))"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 0
