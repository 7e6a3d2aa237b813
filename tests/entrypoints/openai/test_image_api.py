"""Images over HTTP."""

import asyncio
import base64
import io

from PIL import Image


async def test_images_are_made_one_turn_each_with_seeds_of_their_own(api) -> None:
    body = {"prompt": "a red ball", "n": 3, "seed": 5, "size": "96x64", "output_format": "png"}
    answer = (await api.client.post("/v1/images", json=body)).json()
    assert [request.sampling.seed for request in api.generator.requests] == [5, 6, 7]
    assert {request.sampling.num_frames for request in api.generator.requests} == {1}
    assert len(answer["data"]) == 3
    for index, item in enumerate(answer["data"]):
        content = await api.client.get(item["url"])
        assert content.headers["content-type"] == "image/png"
        picture = Image.open(io.BytesIO(content.content))
        assert (picture.format, picture.size) == ("PNG", (96, 64))
        # What the generator paints is its seed.
        assert picture.getpixel((0, 0)) == (5 + index,) * 3


async def test_formats_are_what_they_are_called(api) -> None:
    for fields, kind in (({}, "JPEG"), ({"output_format": "webp"}, "WEBP"), ({"background": "transparent"}, "PNG")):
        body = {"prompt": "x", "response_format": "b64_json", **fields}
        answer = await api.client.post("/v1/images/generations", json=body)
        data = base64.b64decode(answer.json()["data"][0]["b64_json"])
        assert Image.open(io.BytesIO(data)).format == kind


async def test_an_edit_begins_with_an_uploaded_image_or_a_data_url(api, kit) -> None:
    image = kit.png()
    url = f"data:image/png;base64,{base64.b64encode(image).decode()}"
    for name in ("image", "image[]"):
        files = {"prompt": (None, "x"), name: ("a.png", image, "image/png")}
        assert (await api.client.post("/v1/images/edits", files=files)).status_code == 200
    assert (await api.client.post("/v1/images/edits", json={"prompt": "x", "url": url})).status_code == 200
    assert (await api.client.post("/v1/images/edits", json={"prompt": "x", "url": [url]})).status_code == 200
    assert api.generator.images == [image] * 4
    assert not any(name.endswith(".input") for name in api.files())


async def test_an_edit_without_an_image_and_with_bad_ones_is_refused(api, kit) -> None:
    edits, image = "/v1/images/edits", ("a.png", kit.png(), "image/png")
    answer = await api.client.post(edits, json={"prompt": "x"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "missing_image")
    for url in ("https://example.com/a.png", "/etc/passwd", "data:text/plain;base64,AAAA", "data:image/png;base64,?"):
        answer = await api.client.post(edits, json={"prompt": "x", "url": url})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "image_invalid")
    two = [("prompt", (None, "x")), ("image[]", image), ("image[]", image)]
    assert (await api.client.post(edits, files=two)).status_code == 400
    files = {"prompt": (None, "x"), "image": image, "mask": image}
    answer = await api.client.post(edits, files=files)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "mask")
    assert (await api.client.post("/v1/images", files=files)).status_code == 400
    assert api.files() == []


async def test_what_cannot_be_made_is_refused(api) -> None:
    refused = [
        ({"n": 0}, "n"), ({"n": 11}, "n"), ({"output_format": "gif"}, "output_format"), ({"seconds": 3}, "seconds"),
        ({"response_format": "both"}, "response_format"), ({"size": "3x3"}, "size"), ({"prompt": ""}, "prompt"),
    ]  # fmt: skip
    for fields, param in refused:
        answer = await api.client.post("/v1/images", json={"prompt": "x", **fields})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_there_is_no_image_of_an_unknown_id_or_number(api) -> None:
    answer = (await api.client.post("/v1/images", json={"prompt": "x"})).json()
    video = await api.made()
    for path in (f"{answer['id']}/content?index=1", "img_" + "0" * 32 + "/content", f"{video['id']}/content"):
        assert (await api.client.get(f"/v1/images/{path}")).status_code == 404
    assert (await api.client.get(f"/v1/images/{answer['id']}/content?index=x")).status_code == 400
    assert (await api.client.get("/v1/videos")).json()["data"][0]["id"] == video["id"]


async def test_an_image_that_nobody_waits_for_any_more_is_given_up_within_one_step(api, until) -> None:
    api.generator.hold()
    asked = asyncio.create_task(api.client.post("/v1/images", json={"prompt": "stop me", "n": 3}))
    await api.step()
    (job,), _ = api.listed()
    await api.door.jobs.delete(job)
    assert (await asked).status_code == 404
    api.generator.allow()
    await until(lambda: api.generator.cancelled == ["stop me"])
    assert len(api.generator.requests) == 1
    assert api.files() == []
    api.generator.free()
    assert (await api.client.post("/v1/images", json={"prompt": "the next"})).status_code == 200
