"""H.264 byte formats: from a coder's Annex B stream to what MP4 stores (ISO/IEC 14496-10 B.1, 14496-15 5.3)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from fastvideo.media.boxes import Buffer

_START_CODE = b"\0\0\1"
_SEI, _SPS, _PPS, _DELIMITER = 6, 7, 8, 9


@dataclass(frozen=True)
class ParameterSets:
    """One sequence and one picture parameter set, as whole NAL units."""

    sequence: bytes
    picture: bytes

    @property
    def codec(self) -> str:
        """RFC 6381 string made of the profile, the constraint flags and the level that were coded."""
        return f"avc1.{self.sequence[1:4].hex()}"

    def configuration_record(self) -> bytes:
        """AVCDecoderConfigurationRecord with 4-byte NAL unit lengths (the payload of ``avcC``)."""
        profile, constraints, level = self.sequence[1:4]
        record = struct.pack(">5B", 1, profile, constraints, level, 0xFF)
        record += struct.pack(">BH", 0xE1, len(self.sequence)) + self.sequence
        record += struct.pack(">BH", 1, len(self.picture)) + self.picture
        if profile in (100, 110, 122, 144):
            # The High profiles add chroma format and bit depths; everything coded here is 4:2:0 with 8 bits.
            record += bytes((0xFC | 1, 0xF8, 0xF8, 0))
        return record


def nal_units(annex_b: bytes) -> list[bytes]:
    """Split an Annex B stream at its start codes; NAL units never end in a zero byte, so trailing zeros are dropped."""
    units = []
    start = annex_b.find(_START_CODE)
    while start >= 0:
        start += len(_START_CODE)
        following = annex_b.find(_START_CODE, start)
        unit = annex_b[start : following if following >= 0 else len(annex_b)].rstrip(b"\0")
        if unit:
            units.append(unit)
        start = following
    return units


def parameter_sets(extradata: bytes) -> ParameterSets:
    """Find the two parameter sets in a coder's Annex B header; raises ValueError unless it has just one of each."""
    units = nal_units(extradata)
    sequence = [unit for unit in units if unit[0] & 0x1F == _SPS]
    picture = [unit for unit in units if unit[0] & 0x1F == _PPS]
    if len(sequence) != 1 or len(picture) != 1 or len(sequence[0]) < 4:
        raise ValueError(
            f"expected one sequence and one picture parameter set in the H.264 header, "
            f"found {len(sequence)} and {len(picture)}"
        )
    return ParameterSets(sequence[0], picture[0])


def length_prefixed(annex_b: bytes) -> list[Buffer]:
    """Turn one coded picture into MP4's form: each NAL unit after its 4-byte length, as parts to be joined.

    Parameter sets live in the init segment, and delimiters and SEI (the coder's advertisement) carry nothing a player
    needs, so they are left out.
    """
    parts: list[Buffer] = []
    for unit in nal_units(annex_b):
        if unit[0] & 0x1F not in (_SEI, _SPS, _PPS, _DELIMITER):
            parts += (len(unit).to_bytes(4, "big"), unit)
    return parts
