"""Commands that documents show are run, and print what is shown.

A block of ``console`` has commands after ``$ `` and what they print, standard error included, compared as doctest does
with ELLIPSIS. Commands are ``fastvideo ...`` and ``echo $?``; one that ends with ``&`` goes on until the document ends.
A block of ``yaml`` that begins with ``# NAME.yaml`` is a file that the commands find. Ports are changed for free ones.
"""

import contextlib
import doctest
import io
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fastvideo.entrypoints.cli.exit_codes import ExitCode
from fastvideo.entrypoints.cli.main import cmd_init, main

REPOSITORY = Path(__file__).parents[2]
DOCUMENTS = [REPOSITORY / "docs" / "cli.md"]
PORTS = ("8000", "8001", "9000")
BLOCK = re.compile(r"^```(console|yaml)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)


def commands(text):
    """``(command, output)`` of every console block."""
    for kind, block in BLOCK.findall(text):
        if kind == "console":
            yield from COMMAND.findall(block)


def free_ports(count):
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [str(probe.getsockname()[1]) for probe in probes]


def is_shown(expected, printed):
    return doctest.OutputChecker().check_output(expected, printed, doctest.ELLIPSIS)


class Shell:
    """Runs the commands of one document in ``folder``, which has the repository's folders that they name."""

    def __init__(self, folder):
        self.folder = folder
        for name in ("configs", "fastvideo"):
            (folder / name).symlink_to(REPOSITORY / name)
        self.ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self.code = 0
        self.running = []

    def run_document(self, text):
        for kind, block in BLOCK.findall(text):
            if kind == "console":
                for command, expected in COMMAND.findall(block):
                    self.run(command.replace("\\\n", " "), expected)
            elif name := re.match(r"# (\w+\.yaml)\n", block):
                (self.folder / name[1]).write_text(self.with_free_ports(block))

    def run(self, command, expected):
        if command == "echo $?":
            shown = f"{self.code:d}\n"
        else:
            program, *words = shlex.split(self.with_free_ports(command))
            assert program == "fastvideo", f"expected a fastvideo command, got {command}"
            if words[-1] == "&":
                shown = self.in_the_background(words[:-1], expected)
            else:
                shown = self.documented(self.here(words))
        if not is_shown(expected, shown):
            example = doctest.Example(command, expected)
            difference = doctest.OutputChecker().output_difference(example, shown, doctest.ELLIPSIS)
            raise AssertionError(f"$ {command}\n{difference}")

    def here(self, words):
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            try:
                self.code = main(words)
            except SystemExit as end:
                self.code = end.code
        return said.getvalue()

    def in_the_background(self, words, expected):
        """What it prints until that is what is expected, or it ends."""
        log = self.folder / f"log-{len(self.running)}"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "fastvideo.entrypoints.cli.main", *words],
                cwd=self.folder,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        self.running.append(process)
        deadline_s = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline_s:
            if is_shown(expected, self.documented(log.read_text())):
                break
            time.sleep(0.02)
        return self.documented(log.read_text())

    def documented(self, text):
        """With the ports of the document."""
        for port, free in self.ports.items():
            text = re.sub(rf"\b{free}\b", port, text)
        return text

    def with_free_ports(self, text):
        return re.sub(rf"\b({'|'.join(PORTS)})\b", lambda found: self.ports[found[0]], text)

    def close(self):
        for process in self.running:
            process.terminate()
        for process in self.running:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture
def shell(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("FASTVIDEO_API_KEY", raising=False)
    shell = Shell(tmp_path)
    yield shell
    shell.close()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_what_a_document_shows_is_what_is_printed(document, shell):
    shell.run_document(document.read_text(encoding="utf-8"))


def test_every_command_is_shown():
    shown = {
        words[1]
        for document in DOCUMENTS
        for words in (shlex.split(command.replace("\\\n", " ")) for command, _ in commands(document.read_text()))
        if words[0] == "fastvideo"
    }
    assert sorted({command.name for command in cmd_init()} - shown) == []


@pytest.mark.parametrize(
    "wrong",
    [
        "$ fastvideo --version\nfastvideo 9.9\n",
        "$ fastvideo --version\nfastvideo ...\nand more\n",
        "$ fastvideo --version\n",
        "$ fastvideo inspect absent\nfastvideo inspect: ...\n$ echo $?\n0\n",
        "$ fastvideo no-such-command\n",
    ],
)
def test_what_is_not_printed_is_found(wrong, shell):
    with pytest.raises(AssertionError):
        shell.run_document(f"```console\n{wrong}```\n")


def test_the_exit_codes_are_the_documented_ones():
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", (REPOSITORY / "docs" / "cli.md").read_text(), re.MULTILINE)
    assert rows == [(str(int(code)), code.name) for code in ExitCode]
