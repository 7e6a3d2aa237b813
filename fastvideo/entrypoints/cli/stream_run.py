"""The run of ``fastvideo stream``: a connection, a file, a terminal."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from fastvideo.client import ProtocolViolation, Recording, StreamClient, StreamClosed, StreamError
from fastvideo.entrypoints.cli.exit_codes import ExitCode
from fastvideo.entrypoints.cli.progress import ProgressLine
from fastvideo.entrypoints.cli.steering import HELP, NoSuchCommand, Say, Steer, read_line
from fastvideo.entrypoints.cli.stream_follower import Note, StreamFollower, size
from fastvideo.entrypoints.cli.typed_lines import TypedLines, standard_input
from fastvideo.entrypoints.streaming.protocol import AutoExtensionUpdated, SessionInitV2, SessionStop


class StreamRun:
    """Sends ``prompts`` and what is typed, and keeps the stream at ``output`` until it is done.

    ``reads_pipe``: prompts come from standard input also where that is no terminal. ``json_lines``: what happens goes
    to standard output as JSON, and there is no status.
    """

    def __init__(
        self,
        url: str,
        opening: SessionInitV2,
        *,
        output: Path,
        prompts: Sequence[str],
        segments_wanted: int | None = None,
        reads_pipe: bool = False,
        api_key: str | None = None,
        json_lines: bool = False,
    ) -> None:
        self._url = url
        self._opening = opening
        self._output = output
        self._prompts = prompts
        self._reads_pipe = reads_pipe
        self._api_key = api_key
        self._json_lines = json_lines
        self._line = ProgressLine(quiet=json_lines)
        self._follower = StreamFollower(segments_wanted=segments_wanted, goes_on=opening.auto_extension_enabled)
        self._tasks: set[asyncio.Task[None]] = set()
        self._extends = opening.auto_extension_enabled
        self._stopping = self._interrupted = False
        self._resumed = 0

    def run(self) -> int:
        """Receive until it is done; gives the exit code. Raises OSError for a file that cannot be written."""
        with self._line:
            return asyncio.run(self._run())

    async def _run(self) -> int:
        try:
            client = await StreamClient.connect(self._url, self._opening, api_key=self._api_key)
        except StreamError as error:
            return self._failed(error.message.message, ExitCode.REFUSED)
        except (OSError, TimeoutError, StreamClosed) as error:
            return self._failed(f"no server answers at {self._url}: {error}", ExitCode.NO_ANSWER)
        fd = standard_input()
        on_terminal = fd is not None and not self._json_lines and os.isatty(fd)
        typed = TypedLines(
            fd if on_terminal or self._reads_pipe else None,
            lambda line: self._later(self._obey(client, line)),
            lambda: self._later(self._input_ended(client)),
            lambda: self._show(typed),
        )
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._interrupt, client)
        if on_terminal:
            self._line.say(HELP)
        async with client:
            with Recording(self._output) as recording, typed.reading():
                violation = await self._receive(client, recording, typed)
            for task in self._tasks:
                task.cancel()
        return self._outcome(client, violation, kept=recording.fragments > 0)

    async def _receive(self, client: StreamClient, recording: Recording, typed: TypedLines) -> ProtocolViolation | None:
        try:
            for prompt in self._prompts:
                self._follower.asked(await client.prompt(prompt))
            async for event in client:
                if client.resumed > self._resumed:
                    self._resumed = client.resumed
                    self._tell(Note("connected again", "reconnected", {"count": self._resumed}))
                note = self._follower.hear(event)
                if not self._follower.over:
                    recording.add(event)
                self._tell(note)
                self._show(typed)
                if self._extends and self._follower.at_last:
                    # So that the stream ends with this segment, and not within the next.
                    self._extends = False
                    await client.send(AutoExtensionUpdated(enabled=False))
                await self._stop_when_done(client)
        except ProtocolViolation as violation:
            return violation
        except StreamClosed:
            # What it was closed for is known to the client's protocol, and told at the end.
            return None
        return None

    async def _obey(self, client: StreamClient, line: str) -> None:
        match read_line(line):
            case Say(prompt):
                self._follower.asked(await client.prompt(prompt))
            case Steer.CANCEL:
                await client.cancel()
            case Steer.PAUSE:
                await client.pause()
            case Steer.GO_ON:
                await client.pause(False)
            case Steer.STOP:
                await self._stop(client)
            case NoSuchCommand(word):
                self._line.say(f"{word} is no command; {HELP}")

    async def _input_ended(self, client: StreamClient) -> None:
        self._follower.input_ended = True
        await self._stop_when_done(client)

    async def _stop_when_done(self, client: StreamClient) -> None:
        # Prompts of the command line are on their way before anything ends.
        if self._follower.done and client.protocol.start is not None:
            await self._stop(client)

    async def _stop(self, client: StreamClient) -> None:
        if not self._stopping:
            self._stopping = True
            await client.send(SessionStop())

    def _interrupt(self, client: StreamClient) -> None:
        if self._interrupted:
            self._later(client.close())
        self._interrupted = True
        self._later(self._stop(client))

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        async def guarded() -> None:
            # Whoever receives finds the same, and tells of it.
            with contextlib.suppress(StreamClosed, OSError):
                await work

        task = asyncio.get_running_loop().create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _show(self, typed: TypedLines) -> None:
        self._line.show(f"> {typed.typed}" if typed.typed else self._follower.status)

    def _tell(self, note: Note | None) -> None:
        if note is None:
            return
        if self._json_lines:
            print(json.dumps({"event": note.event, **note.fields}), flush=True)
        else:
            self._line.say(note.text)

    def _outcome(self, client: StreamClient, violation: ProtocolViolation | None, *, kept: bool) -> int:
        follower, error = self._follower, client.protocol.farewell
        self._line.close()
        if self._json_lines:
            said = {
                "event": "ended",
                "reason": follower.ending,
                "segments": follower.segments,
                "duration_ms": follower.duration_ms,
                "bytes": follower.media_bytes,
                "resumed": self._resumed,
                "video_path": str(self._output) if kept else None,
            }
            print(json.dumps(said), flush=True)
        elif kept:
            many = "segment" if follower.segments == 1 else "segments"
            about = f"{follower.segments} {many}, {follower.duration_ms / 1000:.1f} s, {size(follower.media_bytes)}"
            print(f"{self._output}: {about}", flush=True)
        if violation is not None:
            return self._failed(f"the file ends here: {violation}", ExitCode.FAILED)
        if self._interrupted:
            return ExitCode.INTERRUPTED
        if follower.ending is None:
            if error is not None:
                code = ExitCode.NO_ANSWER if error.retryable else ExitCode.REFUSED
                return self._failed(error.message, code)
            return self._failed(f"the connection was lost (close code {client.close_code})", ExitCode.NO_ANSWER)
        return ExitCode.REFUSED if follower.rejected and not follower.segments else ExitCode.DONE

    def _failed(self, why: str, code: ExitCode) -> int:
        self._line.close()
        print(f"fastvideo stream: {why}", file=sys.stderr, flush=True)
        return code
