"""What all configuration dataclasses share."""

from __future__ import annotations

from typing import Any, ClassVar


class StrictConfig:
    """Makes the parser of a dataclass strict: unknown keys, wrong types (a bool is no int) and non-finite numbers are
    errors."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}
