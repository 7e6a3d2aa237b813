"""Small readings of what clients send, and the names that the documents have."""

import importlib
import re

import pytest

from fastvideo.api.errors import ImageInvalid
from fastvideo.entrypoints.openai.protocol import generate_request_id
from fastvideo.entrypoints.openai.utils import (
    choose_image_ext,
    merge_image_input_list,
    parse_size,
    save_image_to_path,
)

DOCUMENTED = {
    "api_server": ["create_app", "lifespan", "run_server"],
    "common_api": ["ModelCard", "available_models", "retrieve_model", "model_info"],
    "image_api": [],
    "protocol": [
        *("generate_request_id", "ImageGenerationsRequest", "ImageResponse", "ImageResponseData", "ModelCard"),
        *("VideoGenerationsRequest", "VideoListResponse", "VideoResponse"),
    ],
    "state": ["clear_state", "get_default_request", "get_generator", "get_output_dir", "get_server_args", "set_state"],
    "stores": ["AsyncDictStore"],
    "utils": ["choose_image_ext", "merge_image_input_list", "parse_size", "save_image_to_path"],
    "video_api": [],
}


def test_every_documented_name_can_be_imported() -> None:
    for name, wanted in DOCUMENTED.items():
        module = importlib.import_module(f"fastvideo.entrypoints.openai.{name}")
        missing = [one for one in wanted if not hasattr(module, one)]
        assert not missing, f"{name}: {missing}"


async def test_the_parts_of_a_running_server_can_be_had_by_name_and_not_after_it(tmp_path, kit, monkeypatch) -> None:
    state = importlib.import_module("fastvideo.entrypoints.openai.state")
    # Other tests' servers may be open in this process.
    monkeypatch.setattr(state, "_open", [])
    async with kit.running(tmp_path) as api:
        assert state.get_generator() is api.door.server.pool
        assert state.get_output_dir() == api.folder
        assert state.get_default_request() is state.get_server_args().default_request
    with pytest.raises(RuntimeError, match="no server"):
        state.get_generator()


@pytest.mark.parametrize(
    ("text", "size"),
    [("832x480", (832, 480)), (" 832 X 480 ", (832, 480)), ("", (None, None)), ("auto", (None, None)),
     ("832", (None, None)), ("8x-3", (None, None)), ("٣x٣", (None, None)), ("832x480x3", (None, None))],
)  # fmt: skip
def test_a_size_is_read_or_is_none(text: str, size: tuple[int | None, int | None]) -> None:
    assert parse_size(text) == size


def test_an_extension_fits_what_was_asked_for() -> None:
    asked = [
        ("png", None),
        ("JPEG", "transparent"),
        ("webp", None),
        (None, "transparent"),
        (None, "auto"),
        (None, None),
    ]
    assert [choose_image_ext(*one) for one in asked] == ["png", "jpg", "webp", "png", "jpg", "jpg"]


def test_images_are_one_list_however_they_came() -> None:
    assert merge_image_input_list(None, b"a", [b"b", None], (b"c",)) == [b"a", b"b", b"c"]


def test_ids_are_32_digits_and_never_twice_the_same() -> None:
    ids = {generate_request_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in ids)


async def test_an_image_is_never_written_over_something_else(tmp_path, kit) -> None:
    there = tmp_path / "there"
    there.write_text("mine")
    with pytest.raises(FileExistsError):
        await save_image_to_path(kit.png(), there)
    with pytest.raises(ImageInvalid, match="nothing is fetched"):
        await save_image_to_path("https://example.com/a.png", tmp_path / "new")
    assert (await save_image_to_path(kit.png(), tmp_path / "new")).read_bytes() == kit.png()
    assert there.read_text() == "mine"
