"""A file of API keys, which may change while the server runs."""

from __future__ import annotations

import fcntl
import logging
import os
from pathlib import Path

import yaml

from fastvideo.api.access_config import ApiKeyConfig, ApiKeysFile
from fastvideo.api.errors import ConfigValidationError
from fastvideo.api.parser import config_to_dict, load_raw_config, parse_config

logger = logging.getLogger(__name__)


class KeyFile:
    """The keys in a .yaml or .json file. Raises ConfigValidationError when it cannot be read at first; later the keys
    that were read last stay, and the log says so."""

    def __init__(self, path: str) -> None:
        self._path = Path(path).expanduser()
        self._seen = _stamp(self._path)
        try:
            self.keys = _read(self._path)
        except (OSError, ValueError) as error:
            raise ConfigValidationError("server.auth.keys_file", f"{path} cannot be used: {error}") from None

    def changed(self) -> bool:
        """Read the file again if it is another one than before; tells whether there are other keys now."""
        stamp = _stamp(self._path)
        if stamp == self._seen:
            return False
        self._seen = stamp
        try:
            keys = _read(self._path)
        except (OSError, ValueError) as error:
            logger.error("the keys were not read again, and stay as they were: %s: %s", self._path, error)
            return False
        changed, self.keys = keys != self.keys, keys
        return changed


def append_key(path: Path, key: ApiKeyConfig, *, admin: bool) -> None:
    """Add a key to a .yaml file, which is made if there is none. Raises OSError, and ValueError for one that is no such
    file or has a key of that name."""
    if path.suffix not in (".yaml", ".yml"):
        raise ValueError(f"expected a file ending in .yaml or .yml, got {path.name!r}")
    with open(path.with_name(f"{path.name}.lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        held = _read(path) if path.exists() else ApiKeysFile()
        if any(key.name == other.name for other in (*held.keys, *held.admin_keys)):
            raise ValueError(f"{path} has a key called {key.name!r} already; choose another name, or remove that one")
        (held.admin_keys if admin else held.keys).append(key)
        # In one step, so that a server that reads it meanwhile sees all of it.
        whole = path.with_name(f".{path.name}.new")
        descriptor = os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            yaml.safe_dump(config_to_dict(held), file, sort_keys=False)
            file.flush()
            os.fsync(file.fileno())
        os.replace(whole, path)


def _read(path: Path) -> ApiKeysFile:
    return parse_config(ApiKeysFile, load_raw_config(path))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
