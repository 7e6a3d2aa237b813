"""What is fuzzed: functions that get bytes of clients, seeds that they take, and the errors that they may raise."""

from __future__ import annotations

import base64
import io
import json
import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin
from pydantic import ValidationError

from benchmarks.mutations import mutate
from fastvideo.api.errors import ImageInvalid, StateInvalid
from fastvideo.api.image_content import check_image, uploaded_mime
from fastvideo.entrypoints.streaming.message_faults import explain_invalid, invalid_reason
from fastvideo.entrypoints.streaming.protocol import client_adapter, parse_client_text
from fastvideo.entrypoints.streaming.state_blobs import check_client_state
from fastvideo.media.boxes import BoxError, parse_boxes
from fastvideo.media.h264 import ParameterSets
from fastvideo.media.init_segment import AudioTrack, VideoTrack, read_init_segment, write_init_segment
from fastvideo.media.movie_fragment import DELTA_FLAGS, Sample, TrackRun, last_sequence, read_fragments, write_fragment
from fastvideo.media.segment_index import fragment_pairs
from fastvideo.pipelines.basic.ltx2.continuation import LTX2ContinuationState
from fastvideo.pipelines.basic.ltx2.continuation_blobs import decode_pngs, decode_tensor, pack_frames, unpack_frames

_LONGEST_SENTENCE = 4096


class Wrong(AssertionError):
    """The answer to an input is none that it may be."""


@dataclass(frozen=True)
class Target:
    """``take`` gets an input and raises at most ``documented``; ``seeds`` are inputs that it takes; ``words`` have a
    meaning to it; ``structure`` makes inputs of the right form, and ``change`` from seeds."""

    take: Callable[[bytes], object]
    documented: tuple[type[Exception], ...]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...]
    structure: st.SearchStrategy[bytes]
    change: Callable[[random.Random], bytes]


def _target(
    take: Callable[[bytes], object],
    documented: tuple[type[Exception], ...],
    seeds: tuple[bytes, ...],
    words: tuple[bytes, ...],
    structure: st.SearchStrategy[bytes],
    change: Callable[[random.Random], bytes] | None = None,
) -> Target:
    return Target(take, documented, seeds, words, structure, change or (lambda chance: mutate(seeds, words, chance)))


# --- messages

_MESSAGES = (
    {"type": "session_init_v2", "client_id": "a", "preset": "b", "curated_prompts": ["a train", "a sea"]},
    {"type": "session_init_v2", "initial_image": {"mime": "image/png", "data": "AAAA"}, "record": True},
    {"type": "session_init_v2", "continuation_state": {"kind": "ltx2.v1", "payload": {"schema_version": 1}}},
    {"type": "session_resume", "resume_token": "0" * 64, "last_sequence": 7, "frames_after": 1},
    {"type": "segment_prompt_source", "prompt": "a fox", "seed": 7, "guidance_scale": 1.5, "request_id": "1"},
    {"type": "seed_prompts_updated", "seed_prompts": ["a", "b"]},
    {"type": "generation_paused_updated", "paused": False},
    {"type": "rewrite_seed_prompts", "instruction": "darker", "count": 4},
    {"type": "playback_status", "position_ms": 1.5, "buffered_ms": 2e3, "stalls": 0},
    {"type": "ping", "id": 1},
    {"type": "snapshot_state"},
)
_JSON_WORDS = (
    *(
        b"null",
        b"true",
        b"NaN",
        b"Infinity",
        b"-0",
        b"1e999",
        b"9" * 400,
        b"\\u0000",
        b"\\ud800",
        b"\xff",
        b"\xed\xa0\x80",
    ),
    *(
        b"[",
        b"]",
        b"{",
        b"}",
        b'"',
        b",",
        b":",
        b"[" * 300,
        b'{"a":' * 300,
        b'"type":',
        b'"__proto__":',
        b"\xef\xbb\xbf",
    ),
)
_KINDS = tuple(str(message["type"]) for message in _MESSAGES)
_FIELDS = tuple(sorted({field for message in _MESSAGES for field in message}))
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=12,
)


def _take_message(data: bytes) -> object:
    try:
        # A text frame is UTF-8, which the connection has seen to.
        return parse_client_text(data.decode())
    except UnicodeDecodeError:
        return parse_client_text(data)
    except ValidationError as error:
        _answered(error)
        raise


def _answered(error: ValidationError) -> None:
    sentence = explain_invalid(error)
    invalid_reason(error)
    if not sentence or len(sentence) > _LONGEST_SENTENCE or not sentence.isprintable():
        raise Wrong(f"the client is told {sentence[:200]!r}, of {len(sentence)} characters")


def _messages() -> Target:
    structure = st.builds(
        lambda kind, fields: json.dumps({"type": kind, **fields}).encode(),
        st.sampled_from(_KINDS),
        st.dictionaries(st.sampled_from(_FIELDS) | st.text(max_size=8), _JSON, max_size=6),
    )
    client_adapter()
    seeds = tuple(json.dumps(message).encode() for message in _MESSAGES)
    return _target(_take_message, (ValidationError,), seeds, _JSON_WORDS, structure)


# --- boxes

_BOX_WORDS = tuple(
    b"ftyp moov trak mdia minf stbl stsd avc1 avcC mp4a esds mvex trex moof mfhd traf tfhd tfdt trun mdat".split()
)


def _take_boxes(data: bytes) -> object:
    documented = 0
    for read in (parse_boxes, read_init_segment, read_fragments, fragment_pairs, last_sequence):
        try:
            read(data)
        except BoxError:
            documented += 1
    if documented == 5:
        raise BoxError("none of the readers takes it")
    return documented


def _boxes() -> Target:
    sets = ParameterSets(bytes.fromhex("6742c01fda0140160e8400"), bytes.fromhex("68ce0fc8"))
    sound = AudioTrack(48_000, 2, 160_000, 1024, bytes.fromhex("119056e500"))
    init = write_init_segment(VideoTrack(1280, 704, 12_288, sets), sound)
    runs = [
        TrackRun(1, 512, [Sample([b"key"], 512), Sample([b"de", b"lta"], 512, DELTA_FLAGS)]),
        TrackRun(2, 1024, [Sample([b"sound"], 1024)]),
    ]
    fragment = write_fragment(9, runs)
    box = st.deferred(lambda: boxed)
    inner = st.binary(max_size=40) | st.lists(box, max_size=4).map(b"".join)
    boxed = st.builds(
        lambda kind, payload, off: max(0, 8 + len(payload) + off).to_bytes(4, "big") + kind + payload,
        st.sampled_from(_BOX_WORDS),
        inner,
        st.sampled_from((0, 0, 0, 0, 0, -1, 1, -8)),
    )
    structure = st.lists(boxed, min_size=1, max_size=4).map(b"".join)
    return _target(_take_boxes, (BoxError,), (init, fragment, fragment * 3, init + fragment), _BOX_WORDS, structure)


# --- images

_IMAGE_WORDS = (
    *(b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"iCCP", b"zTXt", b"iTXt", b"eXIf", b"acTL", b"fcTL", b"fdAT"),
    *(
        b"\xff\xd8",
        b"\xff\xc0",
        b"\xff\xc2",
        b"\xff\xc4",
        b"\xff\xda",
        b"\xff\xd9",
        b"\xff\xe1",
        b"\xff\xe2",
        b"\xff\xdb",
    ),
    *(
        b"RIFF",
        b"WEBP",
        b"VP8 ",
        b"VP8L",
        b"VP8X",
        b"ANIM",
        b"ANMF",
        b"ALPH",
        b"MPF\0",
        b"Exif\0\0",
        b"II*\0",
        b"MM\0*",
    ),
)


def picture(kind: str, mode: str = "RGB", size: tuple[int, int] = (23, 17), **options: object) -> bytes:
    """A file with a small picture."""
    colours = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 4), np.uint8)
    file = io.BytesIO()
    Image.fromarray(colours, "RGBA").convert(mode).save(file, kind, **options)
    return file.getvalue()


def _image_seeds() -> tuple[bytes, ...]:
    notes = PngImagePlugin.PngInfo()
    notes.add_text("a", "b" * 40, zip=True)
    notes.add_itxt("a", "b" * 40, zip=True)
    other = Image.new("RGB", (23, 17), (9, 9, 9))
    return (
        *(picture("PNG", mode) for mode in ("RGB", "RGBA", "P", "L", "1", "LA")),
        picture("PNG", pnginfo=notes, icc_profile=b"x" * 200),
        picture("PNG", save_all=True, append_images=[other]),
        *(picture("JPEG", mode) for mode in ("RGB", "L", "CMYK")),
        picture("JPEG", progressive=True),
        picture("JPEG", icc_profile=b"x" * 200, exif=b"Exif\0\0II*\0\x08\0\0\0\0\0"),
        *(picture("WEBP", mode, lossless=lossless) for mode in ("RGB", "RGBA") for lossless in (False, True)),
        picture("WEBP", save_all=True, append_images=[other], duration=40),
    )


def _take_image(data: bytes) -> object:
    return check_image(data, uploaded_mime(data, "initial_image"), "initial_image")


def _images() -> Target:
    seeds = _image_seeds()
    heads = st.sampled_from((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\x40\0\0\0WEBP"))
    parts = st.lists(st.sampled_from(_IMAGE_WORDS) | st.binary(max_size=24), max_size=12).map(b"".join)
    return _target(_take_image, (ImageInvalid,), seeds, _IMAGE_WORDS, st.builds(bytes.__add__, heads, parts))


# --- states

_STATE_KEYS = (
    *("schema_version", "segment_index", "video_conditioning_frame_idx", "video_conditioning_strength"),
    *("audio_conditioning_num_frames", "audio_conditioning_strength", "video_position_offset_sec"),
    *("audio_sample_rate", "metadata", "video", "audio"),
)


def _payload(data: bytes) -> dict[str, object]:
    payload: dict[str, object] = json.loads(data)
    return payload


def _take_state(data: bytes) -> object:
    """As it comes with an opening message."""
    message = parse_client_text(
        b'{"type":"session_init_v2","continuation_state":{"kind":"ltx2.v1","payload":' + data + b"}}"
    )
    envelope = getattr(message, "continuation_state", None)
    return None if envelope is None else check_client_state(envelope.kind, envelope.payload, envelope.signature)


def _states() -> Target:
    frames = [np.full((8, 12, 3), shade, np.uint8) for shade in (1, 200)]
    states = (
        LTX2ContinuationState(segment_index=3, video_frames=frames, audio_latents=torch.zeros(1, 2, 3, 4)),
        LTX2ContinuationState(audio_latents=torch.ones(1, 8, 4, 16, dtype=torch.bfloat16), audio_sample_rate=24_000),
        LTX2ContinuationState(video_frames=frames[:1], metadata={"a": [1, {"b": None}]}),
    )
    seeds = tuple(json.dumps(state.to_continuation_state().payload).encode() for state in states)
    whole = _payload(seeds[0])
    pngs = tuple(base64.b64decode(text) for text in whole["video"]["frames_b64"])  # type: ignore[index]
    sounds = tuple(
        base64.b64decode(_payload(seed)["audio"]["safetensors_b64"])  # type: ignore[index]
        for seed in seeds[:2]
    )
    words = (*_JSON_WORDS, b"blob_id", b"frame_count", b"frames_b64", b"safetensors_b64")

    def change(chance: random.Random) -> bytes:
        kind = chance.randrange(3)
        if kind == 0:
            return mutate(seeds, words, chance)
        payload = dict(whole)
        if kind == 1:
            files = [base64.b64encode(mutate(pngs, _IMAGE_WORDS, chance)).decode() for _ in range(chance.randint(1, 2))]
            payload["video"] = {"frames_b64": files}
        else:
            sound = mutate(sounds, (b"F32", b"BF16", b'"t"', b"shape", b"[1,2]", b"data_offsets"), chance)
            payload["audio"] = {"safetensors_b64": base64.b64encode(sound).decode()}
        return json.dumps(payload).encode()

    structure = st.dictionaries(st.sampled_from(_STATE_KEYS), _JSON, max_size=6).map(
        lambda value: json.dumps(value).encode()
    )
    return _target(_take_state, (StateInvalid, ValidationError), seeds, words, structure, change)


def _take_blob(data: bytes) -> object:
    """Parts of a state as stores keep them: frames, or sound."""
    try:
        return decode_pngs(unpack_frames(data))
    except StateInvalid:
        return decode_tensor(data)


def _blobs() -> Target:
    frames = [np.full((8, 12, 3), shade, np.uint8) for shade in (1, 200)]
    state = LTX2ContinuationState(video_frames=frames, audio_latents=torch.zeros(1, 2, 3, 4)).to_continuation_state()
    files = [base64.b64decode(text) for text in state.payload["video"]["frames_b64"]]
    seeds = (pack_frames(files), base64.b64decode(state.payload["audio"]["safetensors_b64"]))
    structure = st.lists(st.binary(max_size=40), max_size=4).map(pack_frames)
    return _target(_take_blob, (StateInvalid,), seeds, _IMAGE_WORDS, structure)


TARGETS: dict[str, Callable[[], Target]] = {
    "messages": _messages,
    "boxes": _boxes,
    "images": _images,
    "states": _states,
    "blobs": _blobs,
}
