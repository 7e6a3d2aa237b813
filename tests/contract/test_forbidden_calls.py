"""What the package never does, read from its syntax trees, so that nobody can begin to by accident."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

import fastvideo

PACKAGE = Path(fastvideo.__file__).parent
ENTRYPOINTS = PACKAGE / "entrypoints"

# Modules that load code from data, or whose purpose is a shell.
FORBIDDEN_IMPORTS = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "pty", "commands"}
FORBIDDEN_CALLS = {
    *("eval", "exec", "compile", "__import__", "input"),
    *("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"),
    *("yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "yaml.Loader", "yaml.UnsafeLoader"),
    *("torch.load", "numpy.fromregex", "joblib.load", "logging.config.fileConfig", "tempfile.mktemp"),
}
# Whatever opens a connection to an address that it is given.
FETCHERS = {"urllib.request", "requests", "aiohttp", "urllib3", "http.client", "ftplib", "telnetlib", "httpx"}
# Each of these asks an address that the operator gave, and nothing else.
MAY_FETCH = {
    "client/http_door.py": {"httpx"},
    "entrypoints/bench/job_client.py": {"httpx"},
    "entrypoints/streaming/prompt/providers/chat_client.py": {"httpx"},
    "entrypoints/streaming/router/health_checks.py": {"httpx"},
    "entrypoints/streaming/router/http_proxy.py": {"httpx"},
    "entrypoints/streaming/router/open_doors.py": {"httpx"},
    "entrypoints/streaming/router/session_list.py": {"httpx"},
}

# What somebody shows to be let in, and what it is compared with.
SECRET_NAMES = ("secret", "token", "digest", "hexdigest", "signature", "fingerprint", "password", "api_key", "sha256")


def trees(folder: Path = PACKAGE) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(folder.rglob("*.py")):
        yield str(path.relative_to(PACKAGE)), ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def full_names(tree: ast.AST) -> dict[str, str]:
    """What names of a module stand for: ``np`` for numpy, ``load`` for yaml.load."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update({alias.asname: alias.name for alias in node.names if alias.asname})
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
    return names


def dotted(node: ast.expr, names: dict[str, str]) -> str:
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value, names)}.{node.attr}"
    return "?"


def forbidden(tree: ast.AST) -> Iterator[str]:
    """What a module does that none may: a sentence for each."""
    names = full_names(tree)
    for name in imported(tree):
        if name.split(".")[0] in FORBIDDEN_IMPORTS:
            yield f"imports {name}"
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = dotted(node.func, names)
        if called in FORBIDDEN_CALLS:
            yield f"calls {called} in line {node.lineno}"
        for keyword in node.keywords:
            value = keyword.value
            if keyword.arg == "shell" and not (isinstance(value, ast.Constant) and value.value is False):
                yield f"passes shell= in line {node.lineno}"
            if keyword.arg == "allow_pickle" and not (isinstance(value, ast.Constant) and value.value is False):
                yield f"passes allow_pickle= in line {node.lineno}"
            if keyword.arg == "verify" and isinstance(value, ast.Constant) and value.value is False:
                yield f"passes verify=False in line {node.lineno}"


def fetchers(tree: ast.AST) -> set[str]:
    names = set(imported(tree))
    return {fetcher for fetcher in FETCHERS if any(name == fetcher or name.startswith(f"{fetcher}.") for name in names)}


def exception_text_for_clients(tree: ast.AST) -> Iterator[str]:
    """Where the text of a caught exception becomes the words of a message: in the handler itself, which is as far as
    can be seen."""
    for handler in ast.walk(tree):
        if not isinstance(handler, ast.ExceptHandler) or handler.name is None:
            continue
        for call in ast.walk(handler):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name | ast.Attribute):
                continue
            maker = call.func.id if isinstance(call.func, ast.Name) else call.func.attr
            if maker not in ("ErrorMessage", "HTTPException", "JSONResponse", "PlainTextResponse", "AccessRefused"):
                continue
            if any(_is_text_of(part, handler.name) for part in ast.walk(call)):
                caught = ast.unparse(handler.type) if handler.type else "everything"
                yield f"{maker} in line {call.lineno} has the text of {caught}"


def leaking_comparisons(tree: ast.AST) -> Iterator[str]:
    """Where what a client shows may be compared character by character, which tells by its time how much was right."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Compare):
            continue
        operands = [node.left, *node.comparators]
        for operator, pair in zip(node.ops, itertools.pairwise(operands), strict=True):
            if not isinstance(operator, ast.Eq | ast.NotEq) or any(isinstance(part, ast.Constant) for part in pair):
                continue
            if any(_last_name(part).lower().lstrip("_").endswith(SECRET_NAMES) for part in pair):
                yield f"{ast.unparse(node)} in line {node.lineno}"


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Call):
        return _last_name(node.func)
    if isinstance(node, ast.Subscript):
        return _last_name(node.value)
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _is_text_of(node: ast.AST, name: str) -> bool:
    if isinstance(node, ast.FormattedValue):
        return isinstance(node.value, ast.Name) and node.value.id == name
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("str", "repr"):
        return any(isinstance(argument, ast.Name) and argument.id == name for argument in node.args)
    return isinstance(node, ast.Attribute) and node.attr == "args" and ast.unparse(node.value) == name


def test_no_module_loads_code_from_data_or_runs_a_shell() -> None:
    found = [f"{path} {what}" for path, tree in trees() for what in forbidden(tree)]
    assert found == []


def test_only_these_modules_fetch_anything_and_only_from_the_operators_addresses() -> None:
    found = {path: fetchers(tree) for path, tree in trees() if fetchers(tree)}
    assert found == MAY_FETCH


def test_the_text_of_an_exception_is_no_message_for_a_client() -> None:
    # Both say how many sessions there may be, in words of our own.
    written_for_clients = {"SessionRejected"}
    found = [
        f"{path}: {what}"
        for path, tree in trees(ENTRYPOINTS)
        for what in exception_text_for_clients(tree)
        if what.rpartition(" ")[2] not in written_for_clients
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "eval(x)",
        "import os\nos.system('ls')",
        "from os import system as run\nrun('ls')",
        "import subprocess\nsubprocess.run(command, shell=True)",
        "import subprocess\nsubprocess.run(command, shell=chosen)",
        "import yaml as y\ny.load(text)",
        "from yaml import load\nload(text)",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
        "import torch\ntorch.load(path)",
        "import httpx\nhttpx.AsyncClient(verify=False)",
    ],
)
def test_each_of_these_would_be_found(source: str) -> None:
    assert list(forbidden(ast.parse(source)))


@pytest.mark.parametrize(
    "source",
    ["import urllib.request", "from urllib.request import urlopen", "import httpx", "from urllib import request"],
)
def test_each_way_to_fetch_would_be_found(source: str) -> None:
    assert fetchers(ast.parse(source))


@pytest.mark.parametrize("words", ["str(error)", "f'no: {error}'", "repr(error)", "error.args[0]"])
def test_each_way_to_send_the_text_of_an_exception_would_be_found(words: str) -> None:
    source = f"try:\n    pass\nexcept OSError as error:\n    send(ErrorMessage(message={words}))"
    assert list(exception_text_for_clients(ast.parse(source)))


def test_what_lets_somebody_in_is_compared_in_constant_time() -> None:
    # Of servers among themselves, and never from a client: whose a session is, and whether a file is whole.
    own = {
        "entrypoints/streaming/file_sessions.py: record.token == lease.token",
        "entrypoints/streaming/session_store.py: record.token == lease.token",
        "entrypoints/streaming/store_record.py: _digest(body) != digest",
    }
    found = {
        f"{path}: {what.rpartition(' in line ')[0]}"
        for path, tree in trees(ENTRYPOINTS)
        for what in leaking_comparisons(tree)
    }
    assert found == own


@pytest.mark.parametrize(
    "source",
    [
        "token == kept",
        "a != key.digest",
        "digest(token) == kept",
        "x == _signature(body)",
        "digest[:16] != said",
        "1 < a == secret",
    ],
)
def test_each_comparison_that_tells_by_its_time_would_be_found(source: str) -> None:
    assert list(leaking_comparisons(ast.parse(source)))
