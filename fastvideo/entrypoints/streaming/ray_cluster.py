"""This process's place in a Ray cluster: one that runs already, or a small one of its own on this machine."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

from fastvideo.api.errors import ConfigValidationError, FastVideoError

logger = logging.getLogger(__name__)

ADDRESS_VARIABLE = "RAY_ADDRESS"

_OBJECT_STORE_BYTES = 256 << 20
# Ray has this for systems whose firewalls ask; on Linux, too, "0" makes it listen on the loopback interface alone.
_LOOPBACK_VARIABLE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
_TOKEN_VARIABLE = "RAY_AUTH_TOKEN"  # noqa: S105  # the name, not the token
_LOOPBACK = "127.0.0.1"
# Sockets in this folder have long names, and at most 107 characters; a temporary folder of the system may be too deep.
_TEMPORARY = "/tmp"  # noqa: S108  # mkdtemp makes a folder that is nobody else's
# They tell that no SIGTERM handler was set and that a token is asked for; both are meant.
_LOUD = ("ray._private.worker", "ray._private.authentication.authentication_token_setup")


class RayUnavailable(FastVideoError):
    """There is no Ray cluster that this process could join or start."""

    code = "gpu_unavailable"


class RayCluster:
    """``address``: of a cluster that runs (``auto``: on this machine); None: the one that the environment's RAY_ADDRESS
    names, else one of its own for ``workers`` workers, which only processes of this machine reach and which ends with
    :meth:`leave`, or with this process. Raises ConfigValidationError for what is no such address.

    In a process that has joined a cluster already, by whomever, that one is used, and never left.
    """

    def __init__(self, address: str | None, *, workers: int) -> None:
        named = address or os.environ.get(ADDRESS_VARIABLE)
        if named and "://" in named:
            raise ConfigValidationError(
                "streaming.pool.ray_address", f"expected host:port or auto, got {named!r}; Ray's client is not offered"
            )
        self.address = None if named in ("", "local") else named
        self.cpus_per_worker = 1
        self.gpus = 0
        self._workers = workers
        self._keeper: threading.Thread | None = None
        self._joined = threading.Event()
        self._leaving = threading.Event()
        self._failure: RayUnavailable | None = None

    @property
    def own(self) -> bool:
        """Whether the cluster is this process's own."""
        return self.address is None

    @property
    def has_gpus(self) -> bool:
        """Whether there was a GPU in the cluster when it was joined."""
        return self.gpus > 0

    def join(self) -> None:
        """Block until this process is part of the cluster, some seconds when it has to be started; twice is the same as
        once. Raises RayUnavailable."""
        if self._keeper is None:
            self._keeper = threading.Thread(target=self._keep, name="ray-cluster", daemon=True)
            self._keeper.start()
        self._joined.wait()
        if self._failure is not None:
            raise self._failure

    def leave(self) -> None:
        """End the cluster when it is this process's own, else only the connection; blocks until that is done."""
        self._leaving.set()
        if self._keeper is not None:
            self._keeper.join()

    def _keep(self) -> None:
        # One thread for all of it: the kernel ends Ray's processes with the thread that started them. It is not the
        # main thread, whose signal handlers Ray would replace.
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(self._membership())
            except Exception as error:
                # The thread's boundary: Ray raises whatever its parts raise.
                logger.exception("there is no Ray cluster")
                self._failure = error if isinstance(error, RayUnavailable) else self._explained(error)
                return
            finally:
                self._joined.set()
            self._leaving.wait()

    @contextlib.contextmanager
    def _membership(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            if self.own:
                os.environ.setdefault(_LOOPBACK_VARIABLE, "0")
                os.environ.setdefault(_TOKEN_VARIABLE, secrets.token_hex(32))
            import ray

            if ray.is_initialized():
                self.address = ray.get_runtime_context().gcs_address
            else:
                options = self._of_its_own(ray, stack) if self.own else {"address": self.address}
                stack.callback(ray.shutdown, wait_for_processes=True)
                with _less_loud():
                    ray.init(**options, configure_logging=False)
            self.gpus = int(ray.cluster_resources().get("GPU", 0))
            yield

    def _of_its_own(self, ray: Any, stack: contextlib.ExitStack) -> dict[str, Any]:
        where = ray.util.get_node_ip_address()
        if where != _LOOPBACK:
            raise RayUnavailable(
                f"expected Ray to listen on {_LOOPBACK} alone, got {where}: it was imported before, or "
                f"{_LOOPBACK_VARIABLE} is not 0; name a cluster in streaming.pool.ray_address instead"
            )
        folder = tempfile.mkdtemp(prefix="fastvideo-ray-", dir=_TEMPORARY)
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        self.cpus_per_worker = max(1, (os.cpu_count() or 1) // self._workers)
        return {
            "address": "local",
            "num_cpus": self.cpus_per_worker * self._workers,
            "include_dashboard": False,
            "object_store_memory": _OBJECT_STORE_BYTES,
            "_temp_dir": folder,
        }

    def _explained(self, error: Exception) -> RayUnavailable:
        if self.own:
            return RayUnavailable(f"Ray could not be started on this machine ({type(error).__name__}, see the log)")
        return RayUnavailable(
            f"the Ray cluster at {self.address} could not be joined ({type(error).__name__}, see the log); check that "
            f"it runs, with the same Ray and Python, and streaming.pool.ray_address or {ADDRESS_VARIABLE}"
        )


@contextlib.contextmanager
def _less_loud() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in _LOUD]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)
