"""What all tests share: patience for property tests, one headless Chromium, and a classifier of prompts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# A busy machine is no reason to fail.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for all tests of a process; each test opens pages of its own."""
    from playwright.sync_api import sync_playwright

    executable = shutil.which("chromium")
    assert executable, "no Chromium found; scripts/test installs it, or use your system's package 'chromium'"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(CHROMIUM_FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def prompt_classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small fastText model with the labels ``safe`` and ``unsafe``, from scripts/train_safety.py."""
    from scripts.train_safety import main

    path = tmp_path_factory.mktemp("classifier") / "prompts.ftz"
    assert main([str(path), "--count", "1500"]) == 0
    return path
