"""Writes every description of the streaming protocol from its pydantic models; `--check` fails when one is stale.

docs/protocol/schema.json      JSON Schema of every message
docs/protocol/asyncapi.yaml    AsyncAPI 3 of the WebSocket
frontend/js/protocol.d.ts      the page's types
docs/protocol.md               the tables between its `generated` markers
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from fastvideo import __version__
from fastvideo.entrypoints.streaming import protocol
from fastvideo.entrypoints.streaming.protocol import ClientMessage, ServerMessage

ROOT = Path(__file__).resolve().parent.parent
NOTICE = "Written by scripts/generate_protocol.py from fastvideo/entrypoints/streaming/protocol.py; do not edit."
OPENING = ("session_init_v2", "session_resume")
WIDTH = 120

Schema = Mapping[str, Any]


def message_classes(union: Any) -> list[type[BaseModel]]:
    """The models of a discriminated union, in order."""
    return list(get_args(get_args(union)[0]))


# Sets of words that the page's code names too.
NAMED: dict[tuple[str, ...], str] = {
    get_args(getattr(protocol, name)): name
    for name in ("StreamMode", "PromptSource", "ErrorCode", "ErrorReason", "CompletionReason", "BlockReason")
}
CLIENT = message_classes(ClientMessage)
SERVER = message_classes(ServerMessage)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is not up to date")
    arguments = parser.parse_args()
    stale = [path for path, text in render(ROOT).items() if not path.exists() or path.read_text("utf-8") != text]
    if arguments.check:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is not up to date; run scripts/generate_protocol.py", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render(ROOT)[path], "utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


def render(root: Path) -> dict[Path, str]:
    """Every generated file and what it should hold."""
    schema = build_schema()
    page = root / "docs/protocol.md"
    return {
        root / "docs/protocol/schema.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n",
        root / "docs/protocol/asyncapi.yaml": asyncapi_text(),
        root / "frontend/js/protocol.d.ts": typescript_text(schema["$defs"]),
        page: fill_markers(
            page.read_text("utf-8"),
            {
                "client": message_tables(CLIENT, schema["$defs"]),
                "server": message_tables(SERVER, schema["$defs"]),
                "additions": addition_table(schema["$defs"]),
            },
        ),
    }


# ---------------------------------------------------------------- JSON Schema


def build_schema() -> dict[str, Any]:
    """One JSON Schema document: a definition per message, and one union per direction."""
    _, document = models_json_schema(
        [(model, "validation") for model in [*CLIENT, *SERVER]], ref_template="#/$defs/{model}"
    )
    definitions: dict[str, Any] = {name: tidy(definition) for name, definition in document["$defs"].items()}
    always_sent(definitions["SegmentTimings"])
    for model in [*CLIENT, *SERVER]:
        definition = definitions[model.__name__]
        # The models fill `type` in for Python; on the wire it is always there.
        definition["properties"]["type"] = {"const": type_name(model)}
        definition["required"] = ["type", *definition.get("required", [])]
        if model in SERVER:
            definition["required"] += always_sent(definition)
    for union, models in (("ClientMessage", CLIENT), ("ServerMessage", SERVER)):
        definitions[union] = {"oneOf": [{"$ref": f"#/$defs/{model.__name__}"} for model in models]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "fastvideo streaming protocol",
        "description": f"The text messages of WS /v1/stream. {NOTICE}",
        "anyOf": [{"$ref": "#/$defs/ClientMessage"}, {"$ref": "#/$defs/ServerMessage"}],
        "$defs": dict(sorted(definitions.items())),
    }


def always_sent(definition: dict[str, Any]) -> list[str]:
    """The server's keys with a default: it writes them all, except that it leaves out null."""
    names = []
    for name, schema in definition["properties"].items():
        if schema.get("default") is not None:
            names.append(name)
        elif "default" in schema:
            del schema["default"]
            kinds = [kind for kind in schema.pop("anyOf") if kind.get("type") != "null"]
            schema.update(kinds[0] if len(kinds) == 1 else {"anyOf": kinds})
    return names


def tidy(node: Any) -> Any:
    """The schema without the titles that pydantic makes up from field names."""
    if isinstance(node, dict):
        return {
            key: {name: tidy(item) for name, item in value.items()} if key == "properties" else tidy(value)
            for key, value in node.items()
            if not (key == "title" and isinstance(value, str))
        }
    return [tidy(item) for item in node] if isinstance(node, list) else node


def type_name(model: type[BaseModel]) -> str:
    """The message's `type` on the wire."""
    name: str = model.model_fields["type"].default
    return name


def doc_of(model: type[BaseModel]) -> str:
    """The model's docstring as one line."""
    return " ".join((model.__doc__ or "").split())


# ---------------------------------------------------------------- AsyncAPI


def asyncapi_text() -> str:
    """AsyncAPI 3, seen from the server: it receives the client's messages and sends its own."""
    messages = {
        type_name(model): {
            "summary": doc_of(model),
            "contentType": "application/json",
            "payload": {"$ref": f"./schema.json#/$defs/{model.__name__}"},
        }
        for model in [*CLIENT, *SERVER]
    }
    messages["media"] = {
        "summary": "Binary: the init segment (ftyp, moov) or whole fragments (moof, mdat) of the last media_init.",
        "contentType": "video/mp4",
        "payload": {"type": "string", "format": "binary"},
    }

    def in_channel(names: Iterable[str]) -> list[dict[str, str]]:
        return [{"$ref": f"#/channels/stream/messages/{name}"} for name in names]

    document = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "fastvideo streaming protocol",
            "version": __version__,
            "description": "One session per connection. The order of messages is described in docs/protocol.md.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "stream": {
                "address": "/v1/stream",
                "bindings": {"ws": {"method": "GET"}},
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
            }
        },
        "operations": {
            "receiveClientMessage": {
                "action": "receive",
                "channel": {"$ref": "#/channels/stream"},
                "messages": in_channel(type_name(model) for model in CLIENT),
            },
            "sendServerMessage": {
                "action": "send",
                "channel": {"$ref": "#/channels/stream"},
                "messages": in_channel([*(type_name(model) for model in SERVER), "media"]),
            },
        },
        "components": {"messages": messages},
    }
    return f"# {NOTICE}\n" + yaml.safe_dump(document, sort_keys=False, width=WIDTH, allow_unicode=True)


# ---------------------------------------------------------------- TypeScript


def typescript_text(definitions: Schema) -> str:
    """Interfaces for every message, and one union per direction."""
    parts = [
        f"// {NOTICE}",
        "export type JsonValue = null | boolean | number | string | JsonValue[] | { [key: string]: JsonValue };",
    ]
    for values, name in NAMED.items():
        parts.append(f"export type {name} = {' | '.join(json.dumps(value) for value in values)};")
    for name, definition in definitions.items():
        if "properties" in definition:
            parts.append(typescript_interface(name, definition))
    for union, models in (("ClientMessage", CLIENT), ("ServerMessage", SERVER)):
        members = "".join(f"\n  | {model.__name__}" for model in models)
        parts.append(f"export type {union} ={members};")
    return "\n\n".join(parts) + "\n"


def typescript_interface(name: str, definition: Schema) -> str:
    lines = []
    for field, schema in definition["properties"].items():
        required = field in definition.get("required", ())
        text = typescript_type(schema)
        if "description" in schema:
            lines.append(f"  /** {schema['description']} */")
        lines.append(f"  {field}{'' if required else '?'}: {text};")
    comment = " ".join(definition.get("description", "").split())
    return f"/** {comment} */\nexport interface {name} {{\n" + "\n".join(lines) + "\n}"


def typescript_type(schema: Schema) -> str:
    """A JSON Schema as a TypeScript type."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if "anyOf" in schema:
        # Properties beside the alternatives describe the one that is an object.
        beside = {"properties": schema["properties"]} if "properties" in schema else {}
        return " | ".join(dict.fromkeys(typescript_type({**item, **beside}) for item in schema["anyOf"]))
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        values = tuple(schema["enum"])
        return NAMED.get(values) or " | ".join(json.dumps(value) for value in values)
    kind = schema.get("type")
    if kind == "array":
        item = typescript_type(schema["items"])
        return f"({item})[]" if "|" in item else f"{item}[]"
    if kind == "object":
        if schema.get("properties"):
            fields = (f"{name}?: {typescript_type(inner)}" for name, inner in schema["properties"].items())
            return "{ " + "; ".join(fields) + " }"
        return f"{{ [key: string]: {typescript_type(schema['additionalProperties'])} }}"
    return {"integer": "number", "number": "number", "string": "string", "boolean": "boolean", "null": "null"}[
        str(kind)
    ]


# ---------------------------------------------------------------- Markdown


def fill_markers(page: str, sections: Mapping[str, str]) -> str:
    """The page with fresh text between `<!-- generated: name -->` and `<!-- end: name -->`."""
    for name, text in sections.items():
        opening, closing = f"<!-- generated: {name} -->", f"<!-- end: {name} -->"
        pattern = re.compile(re.escape(opening) + ".*?" + re.escape(closing), re.DOTALL)
        page, count = pattern.subn(lambda _: f"{opening}\n\n{text}\n{closing}", page)  # noqa: B023  # used at once
        if count != 1:
            raise SystemExit(f"expected {opening} ... {closing} once in docs/protocol.md, found it {count} times")
    return page


def message_tables(models: Iterable[type[BaseModel]], definitions: Schema) -> str:
    parts = []
    for model in models:
        definition = definitions[model.__name__]
        mark = " (addition)" if definition.get("x-addition") else ""
        lines = [f"### `{type_name(model)}`{mark}", "", doc_of(model), ""]
        rows = [
            f"| `{field}`{' +' if schema.get('x-addition') else ''} | {markdown_type(schema)} |"
            f" {default_text(field, schema, definition)} | {schema.get('description', '')} |"
            for field, schema in definition["properties"].items()
            if field != "type"
        ]
        if rows:
            lines += ["| field | type | default | meaning |", "|---|---|---|---|", *rows, ""]
        parts.append("\n".join(lines))
    return "\n".join(parts)


def addition_table(definitions: Schema) -> str:
    """Whatever goes beyond the documented contract, in one table."""
    rows = []
    for direction, models in (("client", CLIENT), ("server", SERVER)):
        for model in models:
            definition = definitions[model.__name__]
            if definition.get("x-addition"):
                rows.append(f"| {direction} | `{type_name(model)}` | new message | {doc_of(model)} |")
                continue
            rows += [
                f"| {direction} | `{type_name(model)}` | key `{field}` | {schema.get('description', '')} |"
                for field, schema in definition["properties"].items()
                if schema.get("x-addition")
            ]
    return "\n".join(["| from | message | what | meaning |", "|---|---|---|---|", *rows, ""])


def markdown_type(schema: Schema) -> str:
    if "$ref" in schema:
        return {"StateEnvelope": "{kind: string, payload: object}"}.get(
            typescript_type(schema), typescript_type(schema)
        )
    if "anyOf" in schema:
        kinds = [markdown_type(item) for item in schema["anyOf"] if item.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "const" in schema or "enum" in schema:
        return " \\| ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if schema["type"] == "array":
        return f"list of {markdown_type(schema['items'])}"
    return str(schema["type"])


def default_text(field: str, schema: Schema, definition: Schema) -> str:
    if field in definition.get("required", ()):
        return "required"
    default = schema.get("default")
    return "absent" if default is None else f"`{json.dumps(default)}`"


if __name__ == "__main__":
    raise SystemExit(main())
