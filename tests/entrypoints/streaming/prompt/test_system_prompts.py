"""What a model is told: the package's files, the operator's, and changes while the server runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fastvideo.entrypoints.streaming.prompt.enhancer import PromptEnhancer
from fastvideo.entrypoints.streaming.prompt.providers.base import LLMRequest, LLMResponse
from fastvideo.entrypoints.streaming.prompt.system_prompts import MAX_FILE_BYTES, PromptOperation, SystemPrompts

ENHANCE = PromptOperation.ENHANCE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def write(path: Path, text: str | bytes, *, second: int) -> None:
    """Write a file whose time is told apart from another second's, however fast the test runs."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    os.utime(path, (second, second))


@pytest.mark.parametrize("operation", PromptOperation)
def test_the_package_has_a_text_for_each_operation(operation: PromptOperation) -> None:
    text = SystemPrompts().text(operation)
    assert text.startswith("You ")
    assert len(text) > 500


def test_the_operators_file_takes_the_place_of_the_packages(folder: Path) -> None:
    write(folder / "enhance.txt", "\ufeffMake it short.\n", second=1)
    prompts = SystemPrompts(folder)
    assert prompts.text(ENHANCE) == "Make it short."
    assert prompts.text(PromptOperation.REWRITE) == SystemPrompts().text(PromptOperation.REWRITE)


def test_a_changed_file_is_seen_at_the_next_use(folder: Path) -> None:
    prompts = SystemPrompts(folder)
    packaged = prompts.text(ENHANCE)
    write(folder / "enhance.txt", "first", second=1)
    assert prompts.text(ENHANCE) == "first"
    write(folder / "enhance.txt", "other", second=2)
    assert prompts.text(ENHANCE) == "other"
    write(folder / "enhance.txt", " \n", second=3)
    assert prompts.text(ENHANCE) == packaged
    write(folder / "enhance.txt", "again", second=4)
    assert prompts.text(ENHANCE) == "again"
    (folder / "enhance.txt").unlink()
    assert prompts.text(ENHANCE) == packaged


def test_reload_reads_a_change_that_the_files_time_hides_and_tells_which_files_are_in_force(folder: Path) -> None:
    path = folder / "enhance.txt"
    write(path, "first", second=1)
    prompts = SystemPrompts(folder)
    write(path, "other", second=1)
    in_force = prompts.reload()
    assert prompts.text(ENHANCE) == "other"
    assert in_force[ENHANCE] == path
    assert in_force[PromptOperation.REWRITE].name == "rewrite.txt"
    assert in_force[PromptOperation.REWRITE].parent != folder


@pytest.mark.parametrize("bad", [b"\xff\xfe\xff", b"x" * (MAX_FILE_BYTES + 1)], ids=["no UTF-8", "too large"])
def test_a_file_that_cannot_be_taken_over_leaves_the_text_before_it_and_is_said_once(folder, caplog, bad) -> None:
    write(folder / "enhance.txt", "first", second=1)
    prompts = SystemPrompts(folder)
    write(folder / "enhance.txt", bad, second=2)
    assert [prompts.text(ENHANCE), prompts.text(ENHANCE)] == ["first", "first"]
    (record,) = caplog.records
    assert "enhance.txt is not taken over" in record.getMessage()


def test_a_folder_in_a_files_place_is_said_and_not_used(folder: Path, caplog) -> None:
    (folder / "enhance.txt").mkdir()
    assert SystemPrompts(folder).text(ENHANCE) == SystemPrompts().text(ENHANCE)
    assert "Is a directory" in caplog.text


async def test_the_enhancer_tells_the_model_what_the_file_says_now(folder: Path) -> None:
    told = []

    class Listens:
        name = "listens"

        async def complete(self, request: LLMRequest) -> LLMResponse:
            told.append(request.messages[0].content)
            return LLMResponse("A red ball.", self.name, request.model, latency_ms=0.0)

    enhancer = PromptEnhancer(providers=[Listens()], model="m", system_prompt_dir=str(folder))
    write(folder / "enhance.txt", "first", second=1)
    await enhancer.enhance("a ball")
    write(folder / "enhance.txt", "other", second=1)
    assert enhancer.reload_system_prompts()[ENHANCE] == folder / "enhance.txt"
    await enhancer.enhance("a ball")
    assert told == ["first", "other"]
