"""How much each key and each address uses, and whether it may use more. Time is an argument, in monotonic seconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

from fastvideo.api.access_config import Quota, QuotasConfig
from fastvideo.api.errors import LimitExceeded, QuotaExceeded
from fastvideo.entrypoints.access.caller import Caller
from fastvideo.entrypoints.access.rates import Rate, Window

What: TypeAlias = Literal["sessions", "messages", "segments"]

# When a session ends nobody knows; this soon it is worth another try.
SESSION_RETRY_S = 10.0
_HOUR_S = 3600.0
_FIRST_SWEEP = 1024


class Quotas:
    """The use of one server. ``refused`` is called with what was asked for too much of."""

    def __init__(
        self, config: QuotasConfig | None = None, *, refused: Callable[[str], None] = lambda what: None
    ) -> None:
        self._config = config or QuotasConfig()
        self._refused = refused
        self._used: dict[tuple[str, str], _Use] = {}
        self._sweep_at = _FIRST_SWEEP

    def admit(self, caller: Caller, now_s: float) -> Allowance:
        """Count one more session, until its allowance is closed. Raises QuotaExceeded."""
        uses = self._uses(caller, now_s)
        for use in uses:
            if use.quota.max_sessions is not None and use.sessions >= use.quota.max_sessions:
                raise self._exceeded(
                    "sessions", f"at most {use.quota.max_sessions} sessions at once for this {use.of}", SESSION_RETRY_S
                )
        for use in uses:
            use.sessions += 1
        return Allowance(self, caller, uses)

    def take_message(self, caller: Caller, now_s: float) -> None:
        """Count a message, or a request. Raises QuotaExceeded."""
        uses = self._uses(caller, now_s)
        for use in uses:
            if use.messages is not None and (wait_s := use.messages.wait_s(now_s)) > 0.0:
                most = f"{use.quota.messages_per_second:g} messages a second for this {use.of}"
                raise self._exceeded("messages", f"at most {most}", wait_s)
        for use in uses:
            if use.messages is not None:
                use.messages.note(now_s)

    def take_segment(self, caller: Caller, now_s: float) -> None:
        """Count a segment. Raises QuotaExceeded."""
        self.take_segments(caller, 1, now_s)

    def take_segments(self, caller: Caller, count: int, now_s: float) -> None:
        """Count all segments of a job, or none of them. Raises QuotaExceeded, and LimitExceeded for more than an hour
        ever grants."""
        uses = self._uses(caller, now_s)
        for use in uses:
            if use.segments is None:
                continue
            most = f"at most {use.segments.most} segments an hour for this {use.of}"
            if count > use.segments.most:
                self._refused("quota_segments")
                raise LimitExceeded("", f"the server allows {most}, and this would take {count}")
            if (wait_s := use.segments.wait_s(now_s, count)) > 0.0:
                raise self._exceeded("segments", most, wait_s)
        for use in uses:
            if use.segments is not None:
                use.segments.note(now_s, count)

    def _uses(self, caller: Caller, now_s: float) -> list[_Use]:
        uses = [self._use("address", caller.address, self._config.per_address, now_s)]
        if caller.key is not None:
            uses.append(self._use("key", caller.key, self._config.per_key, now_s))
        return uses

    def _use(self, of: str, name: str, quota: Quota, now_s: float) -> _Use:
        use = self._used.get((of, name))
        if use is None:
            self._sweep(now_s)
            use = self._used[of, name] = _Use(of, quota)
        return use

    def _sweep(self, now_s: float) -> None:
        """Forget who uses nothing, so that memory follows those who do."""
        if len(self._used) >= self._sweep_at:
            self._used = {who: use for who, use in self._used.items() if not use.idle(now_s)}
            self._sweep_at = max(_FIRST_SWEEP, 2 * len(self._used))

    def _exceeded(self, what: What, most: str, wait_s: float) -> QuotaExceeded:
        self._refused(f"quota_{what}")
        return QuotaExceeded(f"the server allows {most}", wait_s)


class Allowance:
    """What one session may use: counted for its key and its address until it is closed."""

    def __init__(self, quotas: Quotas, caller: Caller, uses: list[_Use]) -> None:
        self._quotas = quotas
        self._uses = uses
        self.caller = caller

    def take_message(self, now_s: float) -> None:
        """Count a message. Raises QuotaExceeded."""
        self._quotas.take_message(self.caller, now_s)

    def take_segment(self, now_s: float) -> None:
        """Count a segment. Raises QuotaExceeded."""
        self._quotas.take_segment(self.caller, now_s)

    def close(self) -> None:
        """The session is over; twice is the same as once."""
        for use in self._uses:
            use.sessions -= 1
        self._uses = []


class _Use:
    def __init__(self, of: str, quota: Quota) -> None:
        self.of = of
        self.quota = quota
        self.sessions = 0
        self.messages = Rate(quota.messages_per_second) if quota.messages_per_second is not None else None
        self.segments = Window(quota.segments_per_hour, _HOUR_S) if quota.segments_per_hour is not None else None

    def idle(self, now_s: float) -> bool:
        counters = [counter for counter in (self.messages, self.segments) if counter is not None]
        return self.sessions == 0 and all(counter.idle(now_s) for counter in counters)
