"""Where package data lie: the page, the prompts and the presets (in a checkout at its top), and the embedded model."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _resource(packaged: str, in_checkout: str) -> Path:
    for candidate in (_PACKAGE / "_resources" / packaged, _PACKAGE.parent / in_checkout):
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(f"the package data {packaged!r} is missing: install fastvideo again")


def frontend_dir() -> Path:
    """The folder with ``index.html``."""
    return _resource("frontend", "frontend")


def prompts_dir() -> Path:
    """The folder with the example prompts and the system prompts."""
    return _resource("prompts", "prompts")


def example_prompts() -> list[str]:
    """Prompts to begin with, for somebody who has none in mind."""
    text = (prompts_dir() / "examples.txt").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line.strip()]


def session_presets_dir() -> Path:
    """The folder with one YAML file per session preset."""
    return _resource("presets", "configs/presets")


def embedded_model_dir() -> Path:
    """The folder of the checkpoint that travels in the package, with its text encoder and its model card."""
    return _PACKAGE / "assets" / "embedded"
