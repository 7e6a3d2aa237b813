"""The protocol's documents say what the models say."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from fastvideo.entrypoints.streaming.protocol import parse_client_text, parse_server_text

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts/generate_protocol.py"
SCHEMA: dict[str, Any] = json.loads((ROOT / "docs/protocol/schema.json").read_text("utf-8"))
PAGE = (ROOT / "docs/protocol.md").read_text("utf-8")


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_protocol", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [ref for value in node.values() for ref in references(value)]
    return [ref for item in node for ref in references(item)] if isinstance(node, list) else []


def resolve(document: Any, pointer: str) -> Any:
    for part in pointer.removeprefix("#/").split("/"):
        document = document[part]
    return document


def test_the_written_files_are_up_to_date() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), "--check"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_stale_or_missing_file_is_noticed(generator: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/protocol.md").write_text(PAGE.replace("| `prompt` |", "| `prumpt` |"), "utf-8")
    rendered = generator.render(tmp_path)
    assert len(rendered) == 4
    assert rendered[tmp_path / "docs/protocol.md"] == PAGE
    assert (tmp_path / "docs/protocol.md").read_text("utf-8") != PAGE


def test_a_page_without_its_markers_is_an_error(generator: ModuleType) -> None:
    with pytest.raises(SystemExit, match="found it 0 times"):
        generator.fill_markers("no markers here", {"client": "text"})


def test_every_reference_in_the_schema_resolves() -> None:
    found = references(SCHEMA)
    assert len(found) > 30  # 31 messages in the two unions alone
    for pointer in found:
        resolve(SCHEMA, pointer)


def test_every_message_needs_its_type_on_the_wire() -> None:
    unions = [SCHEMA["$defs"][name]["oneOf"] for name in ("ClientMessage", "ServerMessage")]
    assert [len(union) for union in unions] == [14, 21]
    for reference in references(unions):
        definition = resolve(SCHEMA, reference)
        assert "const" in definition["properties"]["type"]
        assert definition["required"][0] == "type"


def test_asyncapi_names_every_message_once_and_resolves() -> None:
    document = yaml.safe_load((ROOT / "docs/protocol/asyncapi.yaml").read_text("utf-8"))
    assert document["asyncapi"] == "3.0.0"
    for reference in references(document):
        target, _, pointer = reference.partition("#")
        resolve(SCHEMA if target == "./schema.json" else document, f"#{pointer}")
    operations = document["operations"]
    assert operations["receiveClientMessage"]["action"] == "receive"
    assert operations["sendServerMessage"]["action"] == "send"
    listed = [reference["$ref"] for operation in operations.values() for reference in operation["messages"]]
    assert len(listed) == len(set(listed)) == len(document["components"]["messages"]) == 14 + 21 + 1


def test_the_additions_table_holds_what_the_schema_marks() -> None:
    marked = set()
    for name, definition in SCHEMA["$defs"].items():
        if definition.get("x-addition"):
            marked.add((definition["properties"]["type"]["const"], "new message"))
        for field, schema in definition.get("properties", {}).items():
            if schema.get("x-addition"):
                marked.add((SCHEMA["$defs"][name]["properties"]["type"]["const"], f"key `{field}`"))
    table = PAGE.split("<!-- generated: additions -->")[1].split("<!-- end: additions -->")[0]
    assert set(re.findall(r"^\| (?:client|server) \| `(\w+)` \| ([^|]+?) \|", table, re.M)) == marked
    assert ("segment_cancel", "new message") in marked
    assert ("queue_status", "key `session_id`") in marked


def test_the_examples_on_the_page_are_messages() -> None:
    examples = re.findall(r"```json\n(.*?)```", PAGE, re.S)
    assert len(examples) >= 5
    for example in examples:
        try:
            parse_client_text(example)
        except ValidationError:
            parse_server_text(example)


@pytest.mark.parametrize("name", ["ClientMessage", "ServerMessage", "PromptSource", "JsonValue"])
def test_the_page_has_a_type_for_each_union(name: str) -> None:
    types = (ROOT / "frontend/js/protocol.d.ts").read_text("utf-8")
    assert f"export type {name} " in types
