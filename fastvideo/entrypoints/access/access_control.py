"""One server's decision about each request and each WebSocket, before anything else is done about it."""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Callable

from starlette.requests import HTTPConnection

from fastvideo.api.access_config import AuthConfig
from fastvideo.api.errors import ConfigValidationError
from fastvideo.entrypoints.access.addresses import client_address, from_this_machine, is_loopback
from fastvideo.entrypoints.access.api_keys import ApiKey, KeyRing
from fastvideo.entrypoints.access.caller import AccessRefused, Caller
from fastvideo.entrypoints.access.hosts import allowed_names, asked_hosts, host_allowed
from fastvideo.entrypoints.access.key_file import KeyFile
from fastvideo.entrypoints.access.networks import check_networks
from fastvideo.entrypoints.access.origins import origin_allowed
from fastvideo.entrypoints.access.stream_tokens import StreamTokens, TokenExpired, TokenInvalid

logger = logging.getLogger(__name__)

# What a WebSocket speaks, and how a page, which can set no headers, brings its token.
STREAM_SUBPROTOCOL = "fastvideo.v1"
TOKEN_SUBPROTOCOL = "fastvideo.token."  # noqa: S105  # a prefix, and no password

_MIN_SECRET_CHARS = 32


class AccessControl:
    """Tells who a caller is, or raises AccessRefused: 401 for whoever shows nothing that opens this, 403 for whoever is
    known and may not.

    ``listens_on``: the address or name that the server listens on. ``clock`` gives seconds since 1970; ``refused`` is
    called with the reason of each refusal. Raises ConfigValidationError for a config that cannot work.
    """

    def __init__(
        self,
        config: AuthConfig | None = None,
        *,
        listens_on: str = "",
        clock: Callable[[], float] = time.time,
        refused: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self._config = config or AuthConfig()
        self._clock = clock
        self._refused = refused
        self._file = KeyFile(self._config.keys_file) if self._config.keys_file is not None else None
        try:
            self._ring = self._all_keys()
        except ValueError as error:
            raise ConfigValidationError("server.auth", str(error)) from None
        self._tokens = StreamTokens(token_secret(self._config.token_secret_env), self._config.token_seconds)
        check_networks(self._config.trusted_proxies, "server.auth.trusted_proxies")
        # Elsewhere a key is what lets somebody in, which no page of another site has.
        reached_as_is = not self.required or is_loopback(listens_on)
        self._names = allowed_names(self._config) if reached_as_is else None

    @property
    def required(self) -> bool:
        """Whether clients have to show a key. A file of keys that is empty lets nobody in."""
        return bool(self._config.keys) or self._file is not None

    @property
    def allowed_origins(self) -> list[str]:
        """Origins of other sites whose pages may use this server."""
        return self._config.allowed_origins

    def check_host(self, connection: HTTPConnection) -> None:
        """Raise AccessRefused for a name that a page of another site may have led here, where nothing else keeps it
        out."""
        if self._names is None:
            return
        # A socket's is an address. A caller without one, in the same process, goes by whatever name it asked for.
        bound_to = (connection.scope.get("server") or ("",))[0]
        names = self._names | {bound_to}
        if not all(host_allowed(host, names) for host in asked_hosts(connection.headers)):
            raise self._refusal(
                403,
                "This server does not go by that name: ask for it by its address, or have its operator add the name to "
                "server.auth.allowed_hosts.",
                "foreign_host",
            )

    def client(self, connection: HTTPConnection) -> Caller:
        """Who asks for what is for clients. Raises AccessRefused."""
        self._check_origin(connection)
        if not self.required:
            return Caller(None, self._address(connection))
        key = self._shown_key(connection)
        return Caller(key.name, self._address(connection), key.admin)

    def admin(self, connection: HTTPConnection) -> Caller:
        """Who asks for what is for operators: a client on this machine, or one with an admin key.

        Raises AccessRefused.
        """
        self._check_origin(connection)
        if from_this_machine(connection):
            return Caller(None, self._address(connection), admin=True)
        if not self._keys().has_admin:
            raise self._refusal(403, "This is for clients on the server's own machine.", "not_local")
        key = self._shown_key(connection)
        if not key.admin:
            raise self._refusal(403, "This is for operators; this key is a client's.", "not_admin")
        return Caller(key.name, self._address(connection), admin=True)

    def issue_token(self, caller: Caller) -> str:
        """A stream token for a caller who showed a key."""
        key = self._keys().named(caller.key) if caller.key is not None else None
        if key is None:
            raise ValueError("expected a caller with a key")
        return self._tokens.issue(key.name, key.digest, self._clock())

    @property
    def token_seconds(self) -> float:
        """How long a stream token holds."""
        return self._tokens.seconds

    def _check_origin(self, connection: HTTPConnection) -> None:
        headers = connection.headers
        if not origin_allowed(headers.get("origin"), headers.get("host", ""), self._config.allowed_origins):
            raise self._refusal(403, "Pages of other sites may not use this server.", "foreign_origin")

    def _shown_key(self, connection: HTTPConnection) -> ApiKey:
        secret = _bearer(connection.headers.get("authorization", ""))
        streams = connection.scope["type"] == "websocket"
        if secret is None and streams:
            secret = _offered_token(connection)
        if secret is None:
            raise self._refusal(401, "Expected an API key; send it as 'Authorization: Bearer <key>'.", "no_key")
        key = self._keys().find(secret)
        if key is None and streams:
            key = self._key_of_token(secret)
        if key is None:
            raise self._refusal(401, "This key or token opens nothing here.", "wrong_key")
        return key

    def _key_of_token(self, token: str) -> ApiKey | None:
        try:
            said = self._tokens.read(token, self._clock())
        except TokenExpired:
            raise self._refusal(401, "The stream token has expired; ask for another one.", "expired_token") from None
        except TokenInvalid:
            return None
        key = self._keys().named(said.key_name)
        return key if key is not None and said.is_of(key.digest) else None

    def _keys(self) -> KeyRing:
        if self._file is not None and self._file.changed():
            try:
                self._ring = self._all_keys()
            except ValueError as error:
                logger.error("the keys were not taken over, and stay as they were: %s", error)
            else:
                logger.info("the keys were read again: %d", len(self._ring))
        return self._ring

    def _all_keys(self) -> KeyRing:
        config, file = self._config, self._file.keys if self._file is not None else None
        if file is None:
            return KeyRing(config.keys, config.admin_keys)
        return KeyRing([*config.keys, *file.keys], [*config.admin_keys, *file.admin_keys])

    def _address(self, connection: HTTPConnection) -> str:
        return client_address(connection, self._config.trusted_proxies)

    def _refusal(self, status: int, message: str, counted_as: str) -> AccessRefused:
        self._refused(counted_as)
        return AccessRefused(status, message, counted_as)


def token_secret(variable: str | None) -> bytes:
    """What signs stream tokens, as :func:`secret_of` finds it."""
    return secret_of("token_secret_env", variable)


def secret_of(path: str, variable: str | None) -> bytes:
    """What signs something: the value of an environment variable, or what nobody else knows.

    Raises ConfigValidationError, at ``path``, for one that is too short.
    """
    if variable is None:
        return secrets.token_bytes(32)
    value = os.environ.get(variable, "")
    if len(value) < _MIN_SECRET_CHARS:
        raise ConfigValidationError(
            path,
            f"expected at least {_MIN_SECRET_CHARS} characters in the environment variable {variable}, "
            f"got {len(value)}; 'openssl rand -hex 32' makes some",
        )
    return value.encode()


def chosen_subprotocol(connection: HTTPConnection) -> str | None:
    """What to answer of the subprotocols that a WebSocket offers."""
    return STREAM_SUBPROTOCOL if STREAM_SUBPROTOCOL in connection.scope.get("subprotocols", ()) else None


def _bearer(header: str) -> str | None:
    scheme, _, secret = header.strip().partition(" ")
    return secret.strip() or None if scheme.lower() == "bearer" else None


def _offered_token(connection: HTTPConnection) -> str | None:
    offered = connection.scope.get("subprotocols", ())
    found = next((name for name in offered if name.startswith(TOKEN_SUBPROTOCOL)), None)
    return found.removeprefix(TOKEN_SUBPROTOCOL) if found is not None else None
