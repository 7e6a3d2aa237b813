"""Starts workers as Ray actors, and carries what they and their pool say between a socket and the actor's methods."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any

from fastvideo.entrypoints.streaming.ray_worker import RayWorker
from fastvideo.entrypoints.streaming.whole_message import receive_whole

if TYPE_CHECKING:
    from fastvideo.entrypoints.streaming.ray_cluster import RayCluster

logger = logging.getLogger(__name__)

# What a worker may have said that nobody took yet: a message is a fragment, or up to 32 MiB of frames.
_MOST_UNREAD = 4
_LISTENING = "listening"


class RayLaunch:
    """How a pool gets its workers from ``cluster``, which it has joined: ``gpus`` for each, or none where the cluster
    has none. ``actor`` is the actor's class."""

    def __init__(self, cluster: RayCluster, *, gpus: int, actor: type[RayWorker] = RayWorker) -> None:
        self._cluster = cluster
        self._gpus = gpus
        self._actor = actor
        self._exported: Any = None

    def __call__(self, index: int, devices: Sequence[str], workers: int) -> PlacedWorker:
        """Ask for an actor, wherever there is room for it. Ray decides which devices it sees."""
        del devices, workers
        if self._exported is None:
            self._exported = self._as_actor()
        return PlacedWorker(f"worker-{index}", self._exported.remote())

    def _as_actor(self) -> Any:
        import ray

        options = ray.remote(
            num_gpus=self._gpus if self._cluster.has_gpus else 0,
            num_cpus=self._cluster.cpus_per_worker,
            scheduling_strategy="SPREAD",
            # The pool replaces a worker that dies, and makes its segment again.
            max_restarts=0,
            max_task_retries=0,
            concurrency_groups={_LISTENING: 1},
        )
        return options(self._actor)


class PlacedWorker:
    """An actor that runs, or will when there is room, or did. ``pid`` is known when it runs."""

    def __init__(self, name: str, actor: Any) -> None:
        self.output: IO[bytes] | None = None
        self.pid: int | None = None
        self._name = name
        self._actor = actor
        self._ended = False
        self.connection, self._theirs = socket.socketpair()
        self._speaking = threading.Thread(target=self._speak, name=f"{name}-speak", daemon=True)
        self._listening = threading.Thread(target=self._listen, name=f"{name}-listen", daemon=True)
        self._speaking.start()
        self._listening.start()

    def kill(self) -> None:
        """End the actor and its process at once."""
        import ray

        self._ended = True
        ray.kill(self._actor)

    def wait(self, timeout_s: float) -> bool:
        """Block until the actor has ended; tells whether it did."""
        deadline_s = time.monotonic() + timeout_s
        for thread in (self._speaking, self._listening):
            thread.join(max(0.0, deadline_s - time.monotonic()))
        return not (self._speaking.is_alive() or self._listening.is_alive())

    def _speak(self) -> None:
        """Hand each message of the pool to the actor, and wait until it has it: so they arrive in order."""
        import ray

        try:
            while (message := receive_whole(self._theirs)) is not None:
                ray.get(self._actor.take.remote(message))
            self._ended = True
            ray.get(self._actor.end.remote())
        except ray.exceptions.RayError:
            # The listener says so.
            return

    def _listen(self) -> None:
        import ray

        try:
            self.pid = ray.get(self._actor.pid.remote())
            messages = self._actor.listen.options(
                num_returns="streaming", concurrency_group=_LISTENING, _generator_backpressure_num_objects=_MOST_UNREAD
            ).remote()
            for message in messages:
                self._theirs.sendall(ray.get(message))
        except ray.exceptions.RayError as error:
            if not self._ended:
                logger.warning("%s is gone, says Ray: %s", self._name, error)
        except OSError:
            # The pool has let go of this worker, and will end it.
            logger.debug("%s speaks to nobody", self._name)
        finally:
            self._theirs.shutdown(socket.SHUT_RDWR)
            self._speaking.join()
            self._theirs.close()
