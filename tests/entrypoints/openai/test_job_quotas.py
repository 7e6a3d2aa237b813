"""What an operator grants to keys and addresses holds for jobs too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastvideo.api.access_config import ApiKeyConfig, AuthConfig, Quota, QuotasConfig
from fastvideo.entrypoints.access.api_keys import key_digest

ANN, BEN = "fv_ann", "fv_ben"
KEYS = AuthConfig(keys=[ApiKeyConfig("ann", key_digest(ANN)), ApiKeyConfig("ben", key_digest(BEN))])


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def refused(answer: Any) -> tuple[int, str, str]:
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return answer.status_code, error["type"], error["code"]


async def test_the_segments_of_jobs_count_for_a_key_when_they_are_asked_for(tmp_path: Path, kit: Any) -> None:
    quotas = QuotasConfig(per_key=Quota(segments_per_hour=4))
    async with kit.running(tmp_path, auth=KEYS, quotas=quotas) as api:
        api.door.server.clock = lambda: 1000.0

        async def ask(secret: str, path: str = "/v1/videos", **fields: Any) -> Any:
            return await api.client.post(path, json={"prompt": "x", **fields}, headers=bearer(secret))

        assert (await ask(ANN, num_frames=24)).status_code == 200
        answer = await ask(ANN, num_frames=16)
        assert refused(answer) == (429, "rate_limit_error", "rate_limited")
        assert "4 segments an hour for this key" in answer.json()["error"]["message"]
        assert answer.headers["retry-after"] == "3600"
        assert (await ask(BEN, "/v1/images", n=4)).status_code == 200
        assert refused(await ask(BEN, "/v1/images", n=1)) == (429, "rate_limit_error", "rate_limited")
        assert (await ask(ANN)).status_code == 200
        assert refused(await ask(ANN)) == (429, "rate_limit_error", "rate_limited")
        assert len(api.listed()[0]) == 3
        never = await ask(ANN, num_frames=40)
        assert refused(never) == (400, "invalid_request_error", "limit_exceeded")
        api.door.server.clock = lambda: 4600.0
        assert (await ask(ANN)).status_code == 200


async def test_what_is_not_taken_and_what_was_asked_for_before_does_not_count(tmp_path: Path, kit: Any) -> None:
    quotas = QuotasConfig(per_address=Quota(segments_per_hour=3))
    async with kit.running(tmp_path, quotas=quotas, max_running=1, max_queued=1) as api:
        api.generator.hold()
        await api.create("runs")
        await api.step()
        body, once = {"prompt": "waits"}, {"idempotency-key": "one"}
        first = await api.client.post("/v1/videos", json=body, headers=once)
        again = await api.client.post("/v1/videos", json=body, headers=once)
        assert first.json()["id"] == again.json()["id"]
        for _ in range(2):
            answer = await api.client.post("/v1/videos", json={"prompt": "too many"})
            assert refused(answer) == (429, "rate_limit_error", "queue_full")
        assert (await api.client.post("/v1/videos", json={"prompt": "x", "size": "3x3"})).status_code == 400
        api.generator.free()
        await api.ended(first.json()["id"])
        await api.create("the third")
        image = {"prompt": "x", "image": ("a.png", kit.png(), "image/png")}
        answer = await api.client.post("/v1/images/edits", files={**image, "prompt": (None, "x")})
        assert refused(answer) == (429, "rate_limit_error", "rate_limited")
        assert not any(name.endswith(".input") for name in api.files())


async def test_requests_count_as_messages_and_reading_a_finished_file_does_not(tmp_path: Path, kit: Any) -> None:
    quotas = QuotasConfig(per_address=Quota(messages_per_second=1.5))
    async with kit.running(tmp_path, quotas=quotas) as api:
        api.door.server.clock = lambda: 1000.0
        video = await api.made()
        assert (await api.client.get("/v1/videos")).status_code == 200
        for method, path in (("POST", ""), ("GET", ""), ("GET", f"/{video['id']}"), ("DELETE", f"/{video['id']}")):
            answer = await api.client.request(method, f"/v1/videos{path}", json={"prompt": "x"} if not path else None)
            assert refused(answer) == (429, "rate_limit_error", "rate_limited")
            assert answer.headers["retry-after"] == "1"
        for _ in range(5):
            assert await api.content(video["id"])
        api.door.server.clock = lambda: 1001.0
        assert (await api.client.delete(f"/v1/videos/{video['id']}")).status_code == 200
