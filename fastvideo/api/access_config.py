"""Who may use a server, and how much of it: what a config file says about keys, origins and quotas."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt

from fastvideo.api.strict_config import StrictConfig

KeyName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
HostName = Annotated[str, Field(pattern=r"^[a-z0-9._\-]+$", max_length=253)]
Origin = Annotated[str, Field(pattern=r"^https?://[a-z0-9.\-]+(:[0-9]{1,5})?$")]


@dataclass
class ApiKeyConfig(StrictConfig):
    """An API key without its secret: whose it is, and the SHA-256 of it in hexadecimal.

    Keys are 256 random bits (``fastvideo keys new``), so that a plain hash of one tells nothing.
    """

    name: KeyName
    sha256: Sha256


@dataclass
class ApiKeysFile(StrictConfig):
    """A file of keys: ``keys`` for clients, ``admin_keys`` for operators."""

    keys: list[ApiKeyConfig] = field(default_factory=list)
    admin_keys: list[ApiKeyConfig] = field(default_factory=list)


@dataclass
class AuthConfig(StrictConfig):
    """Who may use a server. Without ``keys`` and ``keys_file`` everybody who reaches it may.

    ``admin_keys`` open what else is for clients on the server's own machine, and streams too. ``keys_file`` holds more
    of both, and is read again when it changes. ``token_secret_env``: the environment variable with what signs stream
    tokens, for servers that honour each other's; None is a secret of this process. ``allowed_origins``: pages of other
    sites that may use this server, such as https://video.example. ``trusted_proxies``: addresses or networks whose
    X-Forwarded-For is believed. ``allowed_hosts``: further names, without a port, by which this server may be asked for
    when it listens on loopback or asks for no keys.
    """

    keys: list[ApiKeyConfig] = field(default_factory=list)
    admin_keys: list[ApiKeyConfig] = field(default_factory=list)
    keys_file: str | None = None
    token_seconds: Annotated[float, Field(gt=0.0, le=3600.0)] = 60.0
    token_secret_env: str | None = None
    allowed_origins: list[Origin] = field(default_factory=list)
    trusted_proxies: list[str] = field(default_factory=list)
    allowed_hosts: list[HostName] = field(default_factory=list)


@dataclass
class SnapshotsConfig(StrictConfig):
    """Continuation states that clients take along and bring back. ``signed``: only those that this service gave out
    are taken. ``secret_env``: the environment variable with what signs them, for servers that take each other's; None
    is a secret of this process.
    """

    signed: bool = False
    secret_env: str | None = None


@dataclass
class Quota(StrictConfig):
    """How much one key, or one address, may use; None is as much as the server gives.

    ``messages_per_second``: of streams, and HTTP requests, on average; twice as many at once. ``segments_per_hour``:
    in any hour.
    """

    max_sessions: PositiveInt | None = None
    messages_per_second: PositiveFloat | None = None
    segments_per_hour: PositiveInt | None = None


@dataclass
class QuotasConfig(StrictConfig):
    """What holds for each API key, and what for each client address (IPv6: each /64 network)."""

    per_key: Quota = field(default_factory=Quota)
    per_address: Quota = field(default_factory=Quota)
