"""The official ``openai`` package as a client; `tests/e2e/test_openai_api.py` runs it against a real server."""

import base64
import io
from typing import Any

import httpx
import pytest
from PIL import Image

# What OpenAI does with its own service is told whoever is asked.
pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")


@pytest.fixture
def openai() -> Any:
    import openai as package

    return package


@pytest.fixture
async def official(api: Any, openai: Any) -> Any:
    http = httpx.AsyncClient(transport=httpx.ASGITransport(api.app), base_url="http://127.0.0.1")
    async with openai.AsyncOpenAI(
        base_url="http://127.0.0.1/v1", api_key="any", http_client=http, max_retries=0
    ) as client:
        yield client


async def test_it_creates_polls_lists_downloads_and_deletes_a_video(api, kit, official, openai) -> None:
    video = await official.videos.create_and_poll(
        prompt="a red ball", seconds="2", size="96x64", extra_body={"seed": 7}, poll_interval_ms=10
    )
    assert (video.status, video.progress, video.seconds, video.size) == ("completed", 100, "2", "96x64")
    assert api.generator.requests[0].sampling.seed == 7
    assert (await official.videos.retrieve(video.id)).id == video.id
    assert [one.id async for one in official.videos.list(limit=1)] == [video.id]
    content = await official.videos.download_content(video.id)
    assert kit.frames_of(content.content) == 16
    thumbnail = await official.videos.download_content(video.id, variant="thumbnail")
    assert Image.open(io.BytesIO(thumbnail.content)).format == "JPEG"
    gone = await official.videos.delete(video.id)
    assert (gone.id, gone.deleted) == (video.id, True)
    with pytest.raises(openai.NotFoundError) as error:
        await official.videos.retrieve(video.id)
    assert error.value.code == "video_not_found"


async def test_it_pages_through_all_videos(api, official) -> None:
    ids = [(await api.made(f"{index}"))["id"] for index in range(5)]
    assert [video.id async for video in official.videos.list(limit=2, order="asc")] == ids


async def test_it_uploads_a_first_image(api, kit, official) -> None:
    reference = ("first.png", kit.png(), "image/png")
    video = await official.videos.create_and_poll(prompt="x", input_reference=reference, poll_interval_ms=10)
    assert video.status == "completed"
    assert api.generator.images == [kit.png()]


async def test_it_makes_and_edits_images_and_knows_our_errors(kit, official, openai) -> None:
    made = await official.images.generate(prompt="x", n=2, size="64x64", response_format="b64_json")
    assert [Image.open(io.BytesIO(base64.b64decode(one.b64_json))).size for one in made.data] == [(64, 64)] * 2
    edited = await official.images.edit(image=("a.png", kit.png()), prompt="x")
    assert edited.data[0].url
    with pytest.raises(openai.BadRequestError) as error:
        await official.videos.create(prompt="x", size="1x1")
    assert (error.value.param, error.value.code) == ("size", "limit_exceeded")
    with pytest.raises(openai.NotFoundError):
        await official.models.retrieve("unknown")
    assert [model.id async for model in official.models.list()] == ["stepped"]
