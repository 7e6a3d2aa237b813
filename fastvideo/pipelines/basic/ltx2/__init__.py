"""The LTX-2 pipeline. Importing it registers its continuation kind and presets, without importing torch."""

from fastvideo.api.continuation_kinds import register_continuation_kind
from fastvideo.pipelines.basic.ltx2.continuation import (
    DEFAULT_INLINE_THRESHOLD_BYTES,
    LTX2_CONTINUATION_KIND,
    LTX2_CONTINUATION_SCHEMA_VERSION,
    LTX2ContinuationState,
)
from fastvideo.pipelines.basic.ltx2.presets import register_ltx2_presets

register_continuation_kind(LTX2_CONTINUATION_KIND)
register_ltx2_presets()

__all__ = [
    "DEFAULT_INLINE_THRESHOLD_BYTES",
    "LTX2_CONTINUATION_KIND",
    "LTX2_CONTINUATION_SCHEMA_VERSION",
    "LTX2ContinuationState",
]
