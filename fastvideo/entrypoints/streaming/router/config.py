"""What a router needs to know: where it listens, its replicas, and how it asks them whether they live."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from fastvideo.api.access_config import ApiKeyConfig
from fastvideo.api.errors import ConfigValidationError
from fastvideo.api.parser import config_faults, load_raw_config, parse_config
from fastvideo.entrypoints.access.networks import check_networks
from fastvideo.entrypoints.streaming.router.tls import TlsFiles

_STRICT: dict[str, Any] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}


@dataclass
class ReplicaEndpoint:
    """A server: ``url`` is http(s)://host[:port], ``weight`` its share among equals.

    ``primary``: it gets every session that it takes. ``drain``: it gets no new ones, and keeps those that it has.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    url: str
    name: str | None = None
    primary: bool = False
    weight: float = 1.0
    drain: bool = False

    @property
    def address(self) -> str:
        """The URL without a slash at its end."""
        return self.url.rstrip("/")

    @property
    def label(self) -> str:
        """How logs and metrics call it."""
        return self.name or self.address


@dataclass
class RouterConfig:
    """A router. Raises ConfigValidationError (a ValueError) for values that cannot work.

    ``health_check_path`` tells whether a replica lives; a replica that fails it ``failure_threshold`` times in a row is
    unhealthy until it passes ``recovery_threshold`` times. ``readiness_path`` tells whether it takes sessions now: 503
    is no at once, and a server without that route (404) takes them whenever it lives; None asks nobody.
    ``answer_timeout_seconds``: between a session's opening message and the replica's first one.
    ``trusted_proxies``: addresses or networks whose X-Forwarded-* headers are true.
    ``admin_keys`` open the metrics for clients on other machines. ``token_secret_env``: the environment variable with
    what the replicas sign stream tokens with; it lets a session that a token opened go on elsewhere once that is over.
    ``resume_timeout_seconds``: how long a session whose replica was lost is tried elsewhere.
    ``drain_timeout_seconds``: how long sessions may go on when the router shuts down.
    ``tls``: the certificate with which clients are served over https; None serves them over http.
    ``replica_ca_file``: authorities, beside the system's, whose certificates replicas may have.
    """

    host: str = "0.0.0.0"  # noqa: S104  # the documented default
    port: int = 9000
    replicas: list[ReplicaEndpoint] = field(default_factory=list)
    health_check_path: str = "/health"
    health_check_interval_seconds: float = 5.0
    health_check_timeout_seconds: float = 2.0
    failure_threshold: int = 3
    recovery_threshold: int = 2
    readiness_path: str | None = "/readyz"
    connect_timeout_seconds: float = 5.0
    answer_timeout_seconds: float = 30.0
    resume_timeout_seconds: float = 10.0
    trusted_proxies: list[str] = field(default_factory=list)
    admin_keys: list[ApiKeyConfig] = field(default_factory=list)
    token_secret_env: str | None = None
    drain_timeout_seconds: float = 30.0
    tls: TlsFiles | None = None
    replica_ca_file: str | None = None

    def __post_init__(self) -> None:
        for fault in _router_faults(self):
            raise fault


_POSITIVE = (
    *("health_check_interval_seconds", "health_check_timeout_seconds"),
    *("connect_timeout_seconds", "answer_timeout_seconds"),
    *("resume_timeout_seconds", "drain_timeout_seconds"),
)


def _router_faults(config: RouterConfig) -> Iterator[ConfigValidationError]:
    if not config.replicas:
        yield ConfigValidationError("replicas", "a router needs at least one replica")
    if not 0 <= config.port <= 65_535:
        yield ConfigValidationError("port", f"expected 0 to 65535, got {config.port}")
    for name in _POSITIVE:
        if not (math.isfinite(getattr(config, name)) and getattr(config, name) > 0):
            yield ConfigValidationError(name, f"expected greater than 0, got {getattr(config, name)}")
    for name in ("failure_threshold", "recovery_threshold"):
        if getattr(config, name) < 1:
            yield ConfigValidationError(name, f"expected 1 or more, got {getattr(config, name)}")
    for name in ("health_check_path", "readiness_path"):
        path = getattr(config, name)
        if path is not None and not path.startswith("/"):
            yield ConfigValidationError(name, f"expected a path that starts with '/', got {path!r}")
    try:
        check_networks(config.trusted_proxies, "trusted_proxies")
    except ConfigValidationError as error:
        yield error
    yield from _replica_faults(config.replicas)


def _replica_faults(replicas: list[ReplicaEndpoint]) -> Iterator[ConfigValidationError]:
    seen: set[str] = set()
    for index, replica in enumerate(replicas):
        path = f"replicas[{index}]"
        yield from _url_faults(replica.url, f"{path}.url")
        if replica.address.lower() in seen:
            yield ConfigValidationError(f"{path}.url", f"Duplicate replica {replica.url!r}")
        seen.add(replica.address.lower())
        if not (math.isfinite(replica.weight) and replica.weight > 0):
            yield ConfigValidationError(f"{path}.weight", f"expected greater than 0, got {replica.weight}")
    if len(primaries := [index for index, replica in enumerate(replicas) if replica.primary]) > 1:
        yield ConfigValidationError(f"replicas[{primaries[1]}].primary", "expected at most one primary replica")


def _url_faults(url: str, path: str) -> Iterator[ConfigValidationError]:
    try:
        parts = urlsplit(url)
        port_is_valid = parts.port != 0
    except ValueError:
        yield ConfigValidationError(path, f"expected a URL such as http://10.0.0.2:8000, got {url!r}")
        return
    port_is_valid = port_is_valid and not parts.netloc.endswith(":")
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_valid:
        yield ConfigValidationError(path, f"expected http://host:port or https://host:port, got {url!r}")
    if parts.username is not None or parts.password is not None:
        yield ConfigValidationError(path, "expected a URL without a user and password")
    if parts.path not in ("", "/"):
        yield ConfigValidationError(path, f"expected a URL without a path, got {url!r}")
    if "?" in url or "#" in url:
        yield ConfigValidationError(path, f"expected a URL without query/fragment, got {url!r}")


# --- files


@dataclass
class _HealthCheckSection:
    """``health_check:`` of a router file."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    path: str = RouterConfig.health_check_path
    readiness_path: str | None = RouterConfig.readiness_path
    interval_seconds: float = RouterConfig.health_check_interval_seconds
    timeout_seconds: float = RouterConfig.health_check_timeout_seconds
    failure_threshold: int = RouterConfig.failure_threshold
    recovery_threshold: int = RouterConfig.recovery_threshold


@dataclass
class _RouterSection:
    """``router:`` of a router file."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    replicas: list[ReplicaEndpoint]
    host: str = RouterConfig.host
    port: int = RouterConfig.port
    health_check: _HealthCheckSection = field(default_factory=_HealthCheckSection)
    connect_timeout_seconds: float = RouterConfig.connect_timeout_seconds
    answer_timeout_seconds: float = RouterConfig.answer_timeout_seconds
    resume_timeout_seconds: float = RouterConfig.resume_timeout_seconds
    trusted_proxies: list[str] = field(default_factory=list)
    admin_keys: list[ApiKeyConfig] = field(default_factory=list)
    token_secret_env: str | None = None
    drain_timeout_seconds: float = RouterConfig.drain_timeout_seconds
    tls: TlsFiles | None = None
    replica_ca_file: str | None = None


@dataclass
class RouterFile:
    """A file for ``fastvideo router-serve``."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    router: _RouterSection


_NAMES = {
    "path": "health_check_path",
    "interval_seconds": "health_check_interval_seconds",
    "timeout_seconds": "health_check_timeout_seconds",
}


def parse_router_config(raw: Any) -> RouterConfig:
    """A router file as a mapping, ``router:`` at its top. Raises ConfigValidationError with the place of a fault."""
    values = _values(parse_config(RouterFile, raw).router)
    for fault in _faults_in_the_file(values):
        raise fault
    return RouterConfig(**values)


def router_file_faults(raw: Any) -> list[ConfigValidationError]:
    """Every fault of a router file's mapping; none where :func:`parse_router_config` takes it."""
    faults = config_faults(RouterFile, raw)
    return faults or list(_faults_in_the_file(_values(parse_config(RouterFile, raw).router)))


def _values(section: _RouterSection) -> dict[str, Any]:
    """The arguments of a RouterConfig."""
    values = {item.name: getattr(section, item.name) for item in fields(section)}
    health_check = values.pop("health_check")
    return values | {
        _NAMES.get(item.name, item.name): getattr(health_check, item.name) for item in fields(health_check)
    }


def _faults_in_the_file(values: dict[str, Any]) -> Iterator[ConfigValidationError]:
    # Unchecked, as its constructor raises the first fault.
    config = RouterConfig.__new__(RouterConfig)
    config.__dict__.update(values)
    in_the_file = {_NAMES.get(item.name, item.name): item.name for item in fields(_HealthCheckSection)}
    for fault in _router_faults(config):
        path = f"health_check.{in_the_file[fault.path]}" if fault.path in in_the_file else fault.path
        yield ConfigValidationError(f"router.{path}", fault.message)


def load_router_config(path: str | Path) -> RouterConfig:
    """A router file, .yaml or .json. Raises FileNotFoundError and ConfigValidationError."""
    return parse_router_config(load_raw_config(path))
