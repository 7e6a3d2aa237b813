"""What the connections of one router share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from fastvideo.api.access_config import AuthConfig
from fastvideo.entrypoints.access.access_control import AccessControl, token_secret
from fastvideo.entrypoints.access.stream_tokens import StreamTokens
from fastvideo.entrypoints.streaming.router.config import RouterConfig
from fastvideo.entrypoints.streaming.router.metrics import RouterMetrics
from fastvideo.entrypoints.streaming.router.place import StreamPlace
from fastvideo.entrypoints.streaming.router.registry import ReplicaRegistry
from fastvideo.entrypoints.streaming.router.sticky import StickySessions

# For a bridge's last words, and its close.
CLOSING_S = 6.0
# Long enough for one connection to a replica to be opened.
RENEWED_TOKEN_S = 60.0


@dataclass
class RouterState:
    """One router's parts, made by ``build_router_app``. ``draining``: no session is taken any more.

    ``access`` is for the router's own routes: replicas decide about their clients themselves. ``tokens`` renews the
    stream tokens of clients whose session goes on elsewhere. Raises ConfigValidationError for keys that cannot be.
    ``sessions``: the connections that are open; ``closing``: set when those that are left have to end.
    """

    config: RouterConfig
    registry: ReplicaRegistry
    metrics: RouterMetrics = field(default_factory=RouterMetrics)
    sticky: StickySessions = field(default_factory=StickySessions)
    sessions: set[asyncio.Task[Any]] = field(default_factory=set)
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    draining: bool = False
    access: AccessControl = field(init=False)
    tokens: StreamTokens | None = field(init=False)
    # Checks and requests keep their first one too.
    replica_ca_file: str | None = field(init=False)
    _holders: dict[str, StreamPlace] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.replica_ca_file = self.config.replica_ca_file
        self._take_keys(self.config)

    def hold(self, token: str, place: StreamPlace) -> None:
        """This place's connection has the session of the token. An older one must not take it back."""
        other = self._holders.get(token)
        if other is not None and other is not place:
            other.token = None
        self.let_go(place)
        place.token = token
        self._holders[token] = place

    def let_go(self, place: StreamPlace) -> None:
        """This place's connection is over."""
        if place.token is not None and self._holders.get(place.token) is place:
            del self._holders[place.token]

    def reload(self, config: RouterConfig) -> None:
        """Take over a changed config: replicas, keys, checks and time-outs at once; host, port, and whose certificates
        are good, at the next start.

        Raises ConfigValidationError, and changes nothing then.
        """
        self._take_keys(config)
        self.registry.replace(config.replicas)
        self.config = config

    def _take_keys(self, config: RouterConfig) -> None:
        access = AccessControl(AuthConfig(admin_keys=config.admin_keys))
        variable = config.token_secret_env
        self.tokens = StreamTokens(token_secret(variable), RENEWED_TOKEN_S) if variable is not None else None
        self.access = access

    async def drain(self) -> None:
        """Take no more sessions; those that are left after ``drain_timeout_seconds`` are told to come back, and end."""
        self.draining = True
        if self.sessions and not self.closing.is_set():
            await asyncio.wait(set(self.sessions), timeout=self.config.drain_timeout_seconds)
        self.closing.set()
        if self.sessions:
            await asyncio.wait(set(self.sessions), timeout=CLOSING_S)
