"""Why a recording ends before its session."""

from __future__ import annotations

import errno

from fastvideo.entrypoints.streaming.message_base import RecordingReason


class RecordingEnds(Exception):
    """Raised where a recording finds that it cannot go on; its session does."""

    def __init__(self, reason: RecordingReason) -> None:
        super().__init__(reason)
        self.reason: RecordingReason = reason


def disk_reason(fault: OSError) -> RecordingReason:
    """What a fault of the disk means for a recording."""
    return "disk_full" if fault.errno in (errno.ENOSPC, errno.EDQUOT) else "disk_failed"
