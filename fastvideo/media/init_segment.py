"""The init segment (``ftyp`` + ``moov``) of a stream with one H.264 track and, normally, one AAC track.

The sound track has an edit list whose media time is one AAC frame: an AAC decoder's first frame is only the run-up to
the next one. So a packet's ``tfdt`` is its place in the coded sound, and its presentation time is one frame (1,024
samples) earlier; the run-up frame is presented before zero, where players use it as pre-roll and drop it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from fastvideo.media.boxes import FULL_HEADER_BYTES, Box, BoxError, Buffer, box, full_box, name, only, parse_boxes
from fastvideo.media.h264 import ParameterSets

VIDEO_TRACK = 1
AUDIO_TRACK = 2
AAC_CODEC = "mp4a.40.2"
_MOVIE_TIMESCALE = 1000
_IDENTITY_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_LANGUAGE_UNDETERMINED = 0x55C4
_BT709 = 1


@dataclass(frozen=True)
class VideoTrack:
    """What the init segment says of the pictures."""

    width_px: int
    height_px: int
    timescale: int
    parameter_sets: ParameterSets


@dataclass(frozen=True)
class AudioTrack:
    """What the init segment says of the sound: ``config`` is AAC's AudioSpecificConfig."""

    sample_rate_hz: int
    channels: int
    bit_rate: int
    priming_samples: int
    config: bytes


@dataclass(frozen=True)
class TrackInfo:
    """A track as read back from an init segment."""

    track_id: int
    timescale: int
    codec: str
    edit_media_time: int
    width_px: int = 0
    height_px: int = 0
    sample_rate_hz: int = 0
    channels: int = 0


def mime_type(video: VideoTrack, audio: AudioTrack | None) -> str:
    """The MIME type, codecs included, that a SourceBuffer for this stream is made from."""
    codecs = [video.parameter_sets.codec] + ([AAC_CODEC] if audio else [])
    return f'video/mp4; codecs="{", ".join(codecs)}"'


def write_init_segment(video: VideoTrack, audio: AudioTrack | None, *, duration_ms: int = 0) -> bytes:
    """Write ``ftyp`` and ``moov``. ``duration_ms`` is for a finished file; a live stream has none."""
    tracks = [_video_track(video)]
    extends = [_track_extends(VIDEO_TRACK)]
    if audio:
        tracks.append(_audio_track(audio))
        extends.append(_track_extends(AUDIO_TRACK))
    if duration_ms:
        extends.insert(0, full_box(b"mehd", 1, 0, struct.pack(">Q", duration_ms)))
    movie_header = full_box(
        b"mvhd",
        0,
        0,
        struct.pack(">4I", 0, 0, _MOVIE_TIMESCALE, 0),
        struct.pack(">IH10x", 0x10000, 0x100),
        _IDENTITY_MATRIX,
        struct.pack(">24xI", len(tracks) + 1),
    )
    file_type = box(b"ftyp", b"iso6", struct.pack(">I", 0), b"iso6", b"iso5", b"mp41")
    return file_type + box(b"moov", movie_header, *tracks, box(b"mvex", *extends))


def _track_extends(track_id: int) -> bytes:
    return full_box(b"trex", 0, 0, struct.pack(">5I", track_id, 1, 0, 0, 0))


def _track_header(track_id: int, *, width_px: int = 0, height_px: int = 0, volume: int = 0) -> bytes:
    enabled_in_movie_and_preview = 7
    return full_box(
        b"tkhd",
        0,
        enabled_in_movie_and_preview,
        struct.pack(">5I8x", 0, 0, track_id, 0, 0),
        struct.pack(">hhHH", 0, 0, volume, 0),
        _IDENTITY_MATRIX,
        struct.pack(">2I", width_px << 16, height_px << 16),
    )


def _media(timescale: int, handler: bytes, title: bytes, media_header: bytes, sample_entry: bytes) -> bytes:
    tables = (
        full_box(b"stsd", 0, 0, struct.pack(">I", 1), sample_entry),
        full_box(b"stts", 0, 0, struct.pack(">I", 0)),
        full_box(b"stsc", 0, 0, struct.pack(">I", 0)),
        full_box(b"stsz", 0, 0, struct.pack(">2I", 0, 0)),
        full_box(b"stco", 0, 0, struct.pack(">I", 0)),
    )
    data_in_this_file = full_box(b"url ", 0, 1)
    return box(
        b"mdia",
        full_box(b"mdhd", 0, 0, struct.pack(">4IHH", 0, 0, timescale, 0, _LANGUAGE_UNDETERMINED, 0)),
        full_box(b"hdlr", 0, 0, struct.pack(">I4s12x", 0, handler), title + b"\0"),
        box(
            b"minf",
            media_header,
            box(b"dinf", full_box(b"dref", 0, 0, struct.pack(">I", 1), data_in_this_file)),
            box(b"stbl", *tables),
        ),
    )


def _video_track(video: VideoTrack) -> bytes:
    seventy_two_dpi = 0x480000
    entry = box(
        b"avc1",
        struct.pack(">6xH16x", 1),
        struct.pack(">HH", video.width_px, video.height_px),
        struct.pack(">IIIH32sHh", seventy_two_dpi, seventy_two_dpi, 0, 1, b"", 24, -1),
        box(b"avcC", video.parameter_sets.configuration_record()),
        box(b"colr", b"nclx", struct.pack(">3HB", _BT709, _BT709, _BT709, 0)),
        box(b"pasp", struct.pack(">2I", 1, 1)),
    )
    return box(
        b"trak",
        _track_header(VIDEO_TRACK, width_px=video.width_px, height_px=video.height_px),
        _media(video.timescale, b"vide", b"video", full_box(b"vmhd", 0, 1, struct.pack(">4H", 0, 0, 0, 0)), entry),
    )


def _audio_track(audio: AudioTrack) -> bytes:
    entry = box(
        b"mp4a",
        struct.pack(">6xH8x", 1),
        struct.pack(">HHHHI", audio.channels, 16, 0, 0, audio.sample_rate_hz << 16),
        full_box(b"esds", 0, 0, _elementary_stream_descriptor(audio)),
    )
    to_the_end = 0
    edit = full_box(b"elst", 0, 0, struct.pack(">IIiI", 1, to_the_end, audio.priming_samples, 0x10000))
    return box(
        b"trak",
        _track_header(AUDIO_TRACK, volume=0x100),
        box(b"edts", edit),
        _media(audio.sample_rate_hz, b"soun", b"sound", full_box(b"smhd", 0, 0, struct.pack(">hH", 0, 0)), entry),
    )


def _elementary_stream_descriptor(audio: AudioTrack) -> bytes:
    """ES_Descriptor of ISO/IEC 14496-1, 7.2.6.5: object type 0x40 (MPEG-4 audio), stream type 5 (audio)."""
    audio_stream = 5 << 2 | 1
    buffer_bytes = 6144 // 8 * audio.channels
    decoder_config = struct.pack(">BB", 0x40, audio_stream) + buffer_bytes.to_bytes(3, "big")
    decoder_config += struct.pack(">II", audio.bit_rate, audio.bit_rate) + _descriptor(5, audio.config)
    return _descriptor(3, struct.pack(">HB", AUDIO_TRACK, 0) + _descriptor(4, decoder_config) + _descriptor(6, b"\x02"))


def _descriptor(tag: int, payload: bytes) -> bytes:
    if len(payload) > 127:
        raise ValueError(f"descriptor {tag} has {len(payload)} bytes; one length byte holds at most 127")
    return bytes((tag, len(payload))) + payload


def read_init_segment(data: Buffer) -> list[TrackInfo]:
    """Read the tracks of exactly one ``ftyp`` + ``moov``; raises BoxError for anything else."""
    boxes = parse_boxes(data)
    if [found.kind for found in boxes] != [b"ftyp", b"moov"]:
        kinds = ", ".join(name(found.kind) for found in boxes) or "nothing"
        raise BoxError(f"an init segment is one 'ftyp' and one 'moov' box, got {kinds}")
    movie = boxes[1].children()
    tracks = [_read_track(track) for track in movie if track.kind == b"trak"]
    extends = [found for found in only(movie, b"mvex", within="'moov'").children() if found.kind == b"trex"]
    missing = {track.track_id for track in tracks} - {found.fields("I", FULL_HEADER_BYTES)[0] for found in extends}
    if not tracks or missing:
        raise BoxError(f"box 'moov': {len(tracks)} tracks, of which {len(missing)} without a 'trex'")
    return tracks


def _read_track(track: Box) -> TrackInfo:
    header, media = track.child(b"tkhd"), track.child(b"mdia")
    media_header = media.child(b"mdhd")
    (track_id,) = header.fields("I", 20 if header.version_and_flags()[0] == 1 else 12)
    (timescale,) = media_header.fields("I", 20 if media_header.version_and_flags()[0] == 1 else 12)
    if timescale == 0:
        raise BoxError("box 'mdhd': a timescale of 0")
    edit_media_time = 0
    if any(found.kind == b"edts" for found in track.children()):
        (edit_media_time,) = track.child(b"edts").child(b"elst").fields("i", FULL_HEADER_BYTES + 8)
    entries = media.child(b"minf").child(b"stbl").child(b"stsd").children(FULL_HEADER_BYTES + 4)
    if len(entries) != 1 or entries[0].kind not in (b"avc1", b"mp4a"):
        found = ", ".join(name(entry.kind) for entry in entries) or "nothing"
        raise BoxError(f"box 'stsd': expected one 'avc1' or 'mp4a', got {found}")
    entry = entries[0]
    if entry.kind == b"avc1":
        width_px, height_px = entry.fields("HH", 24)
        profile, constraints, level = entry.child(b"avcC", skip_bytes=78).fields("3B", 1)
        codec = f"avc1.{profile:02x}{constraints:02x}{level:02x}"
        return TrackInfo(track_id, timescale, codec, edit_media_time, width_px=width_px, height_px=height_px)
    channels, _, _, _, rate = entry.fields("HHHHI", 16)
    return TrackInfo(track_id, timescale, AAC_CODEC, edit_media_time, sample_rate_hz=rate >> 16, channels=channels)
