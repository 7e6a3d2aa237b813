"""Certificates: the router's own, for its clients, and those of replicas with https addresses."""

from __future__ import annotations

import functools
import ssl
from dataclasses import dataclass
from typing import Any, ClassVar

from fastvideo.api.errors import FastVideoError


@dataclass(frozen=True)
class TlsFiles:
    """The router's certificate, with those between it and its authority behind it, and its key; both PEM, the key
    without a password."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "strict": True}

    cert_file: str
    key_file: str


class TlsFault(FastVideoError):
    """A file with certificates or a key cannot be used."""


def serving_context(files: TlsFiles) -> ssl.SSLContext:
    """For the router's own door. Raises TlsFault."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load_certificate(context, files)
    return context


def load_certificate(context: ssl.SSLContext, files: TlsFiles) -> None:
    """Show this certificate from the next handshake on. Raises TlsFault, and then goes on with the one before."""
    try:
        # A key that asks for a password would ask at the terminal.
        context.load_cert_chain(files.cert_file, files.key_file, password=_no_password)
    except (OSError, ValueError) as error:
        raise TlsFault(
            f"expected a certificate in {files.cert_file} and its key in {files.key_file}, as PEM and without a"
            f" password: {_reason(error)}"
        ) from error


@functools.cache
def replica_context(ca_file: str | None = None) -> ssl.SSLContext:
    """For connections to replicas, whose certificates are always checked: by the system's authorities, and by those in
    ``ca_file``. Raises TlsFault."""
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ValueError) as error:
            raise TlsFault(f"expected certificates of authorities in {ca_file}, as PEM: {_reason(error)}") from error
    return context


def _no_password() -> bytes:
    raise ValueError("the key has a password")


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "not PEM"
    return error.strerror or "" if isinstance(error, OSError) else str(error)
