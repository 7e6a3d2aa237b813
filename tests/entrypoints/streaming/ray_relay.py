"""A generator of the test's process, used by workers that are Ray actors: each step crosses a Unix socket.

The actors import this module by name, from the PYTHONPATH that their cluster was started with.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from multiprocessing.connection import Client, Connection, Listener
from typing import Any

from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.upcoming_text import UpcomingText
from fastvideo.entrypoints.streaming.ray_worker import RayWorker

ADDRESS_VARIABLE = "FASTVIDEO_TEST_RELAY"


class RelayedGenerator:
    """In the actor: asks the test's process for each event."""

    encodes_ahead = True

    def __init__(self, address: str) -> None:
        self._address = address
        with self._ask("model") as connection:
            self.model_id = connection.recv()

    def stream(self, request: Any, *, cancel: CancellationToken, upcoming: UpcomingText | None = None) -> Iterator[Any]:
        with self._ask("stream") as connection:
            connection.send(request)
            number = connection.recv()
            cancel.on_cancel(lambda: self._cancel(number))
            while True:
                connection.send(("next", None if upcoming is None else upcoming.take()))
                kind, value = connection.recv()
                if kind == "event":
                    yield value
                elif kind == "error":
                    raise value
                else:
                    return

    def generate(self, request: Any) -> Any:
        with self._ask("generate") as connection:
            connection.send(request)
            return connection.recv()

    def _ask(self, what: str) -> Connection:
        connection = Client(self._address, "AF_UNIX")
        connection.send(what)
        return connection

    def _cancel(self, number: int) -> None:
        with self._ask("cancel") as connection:
            connection.send(number)


class RelayedWorker(RayWorker):
    """An actor with such a generator."""

    def _build(self, boot: Any) -> RelayedGenerator:
        return RelayedGenerator(os.environ[ADDRESS_VARIABLE])


class Relay:
    """In the test: serves ``generator`` to whichever actor asks."""

    def __init__(self, address: str) -> None:
        self.generator: Any = None
        self._tokens: dict[int, CancellationToken] = {}
        self._listener = Listener(address, "AF_UNIX")
        threading.Thread(target=self._accept, name="relay", daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), name="relayed", daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        # The actor may be killed at any time.
        with connection, contextlib.suppress(EOFError, OSError):
            match connection.recv():
                case "model":
                    connection.send(getattr(self.generator, "model_id", None))
                case "generate":
                    connection.send(self.generator.generate(connection.recv()))
                case "cancel":
                    self._tokens[connection.recv()].cancel()
                case "stream":
                    self._stream(connection)

    def _stream(self, connection: Connection) -> None:
        request, token, number = connection.recv(), CancellationToken(), len(self._tokens)
        self._tokens[number] = token
        upcoming = UpcomingText()
        connection.send(number)
        foresighted = getattr(self.generator, "encodes_ahead", False)
        more = {"upcoming": upcoming} if foresighted else {}
        with contextlib.closing(self.generator.stream(request, cancel=token, **more)) as events:
            while True:
                _, following = connection.recv()
                if following is not None:
                    upcoming.tell(following)
                try:
                    connection.send(("event", next(events)))
                except StopIteration:
                    connection.send(("end", None))
                except Exception as error:
                    connection.send(("error", error))
