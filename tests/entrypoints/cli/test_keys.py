"""`fastvideo keys new`: a key is shown once, and what a server gets is a hash of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fastvideo.entrypoints.access.api_keys import KeyRing, key_digest
from fastvideo.entrypoints.access.key_file import KeyFile
from fastvideo.entrypoints.cli.main import main


def test_the_key_is_all_of_standard_output_and_the_entry_has_its_hash_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "new", "ann"]) == 0
    out, err = capsys.readouterr()
    key = out.strip()
    assert key.startswith("fv_")
    assert f'{{name: "ann", sha256: {key_digest(key)}}}' in err
    assert key not in err


def test_a_file_gets_the_entry_and_a_server_then_knows_the_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "keys.yaml"
    assert main(["keys", "new", "ann", "--file", str(path)]) == 0
    viewer = capsys.readouterr().out.strip()
    assert main(["keys", "new", "ops", "--admin", "--json", "--file", str(path)]) == 0
    operator = json.loads(capsys.readouterr().out)
    assert viewer not in path.read_text()
    keys = KeyFile(str(path)).keys
    ring = KeyRing(keys.keys, keys.admin_keys)
    found = ring.find(operator["key"])
    assert found is not None
    assert (found.name, found.admin, operator["admin"]) == ("ops", True, True)
    assert main(["keys", "new", "ann", "--file", str(path)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "already" in err


@pytest.mark.parametrize("name", ["", "a/b", "-", "x" * 65])
def test_a_name_that_no_file_could_hold_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "new", "--", name]) == 1
    assert "name" in capsys.readouterr().err
