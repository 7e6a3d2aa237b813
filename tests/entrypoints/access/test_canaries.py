"""Secrets that a server is given, or gives out, are searched for in all that it says: logs, metrics and answers."""

from __future__ import annotations

import contextlib
import json
import logging
import re
from pathlib import Path

import pytest
import websockets

from fastvideo.api.access_config import ApiKeyConfig, AuthConfig
from fastvideo.api.schema import RecordingsConfig, ServerConfig, StoresConfig
from fastvideo.entrypoints.access.api_keys import key_digest, new_key

PROMPT = "canary prompt of nobody's business"
SECRET = "canary-signing-secret-" + "x" * 32


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_no_secret_and_no_prompt_is_in_any_log_metric_answer_or_foreign_message(
    serving, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], monkeypatch
) -> None:
    caplog.set_level(logging.DEBUG)
    # A library's own debugging, which shows each frame, is for whoever turns it on; httpx is this test's own client.
    for library, level in (("websockets", logging.INFO), ("httpcore", logging.INFO), ("httpx", logging.WARNING)):
        caplog.set_level(level, logger=library)
    caplog.set_level(logging.INFO, logger="uvicorn.error")
    monkeypatch.setenv("CANARY_SECRET", SECRET)
    key, admin = new_key(), new_key()
    server = ServerConfig(
        auth=AuthConfig(
            keys=[ApiKeyConfig("viewer", key_digest(key))],
            admin_keys=[ApiKeyConfig("operator", key_digest(admin))],
            token_secret_env="CANARY_SECRET",
        )
    )
    stores = StoresConfig(sessions=f"file:{tmp_path}/states", blobs=f"file:{tmp_path}/blobs")
    answers: list[str] = []
    heard: list[str] = []
    async with serving(server, stores=stores, recordings=RecordingsConfig(dir=f"{tmp_path}/recordings")) as served:
        asked = await served.http.post("/v1/stream/tokens", headers={"Authorization": f"Bearer {key}"})
        token = asked.json()["token"]
        async with served.connect(subprotocols=asked.json()["subprotocols"]) as client:
            await client.send(json.dumps({"type": "session_init_v2", "record": True}))
            await client.send(json.dumps({"type": "segment_prompt_source", "prompt": PROMPT}))
            await client.send(json.dumps({"type": "segment_prompt_source", "prompt": PROMPT, "seed": "no number"}))
            resume_token = None
            while True:
                frame = await client.recv()
                if not isinstance(frame, str):
                    continue
                message = json.loads(frame)
                resume_token = message.pop("resume_token", None) or resume_token
                heard.append(json.dumps(message))
                if message["type"] == "ltx2_segment_complete":
                    break
            await client.send(json.dumps({"type": "session_stop"}))
            with contextlib.suppress(websockets.ConnectionClosed):
                while True:
                    await client.recv()
        with contextlib.suppress(websockets.ConnectionClosed):
            async with served.connect(additional_headers={"Authorization": f"Bearer {key}"}) as stranger:
                await stranger.send(
                    json.dumps({"type": "session_resume", "resume_token": f"{resume_token}x", "last_sequence": 0})
                )
                answers.append(str(await stranger.recv()))
        _, refusal = await served.refuses(additional_headers={"Authorization": f"Bearer {token}x"})
        answers.append(json.dumps(refusal))
        # Where they do not belong, and are found in practice.
        url, served.url = served.url, f"{served.url}?token={token}&api_key={key}"
        await served.refuses()
        served.url = url
        await served.http.get("/v1/info", params={"api_key": key})
        for path in ("/metrics", "/v1/info", "/status", "/health", "/readyz", "/v1/sessions", "/v1/nothing"):
            for secret in (key, admin, "fv_wrong"):
                answer = await served.http.get(path, headers={"Authorization": f"Bearer {secret}"})
                answers.append(f"{answer.headers}{answer.text}" if path != "/v1/sessions" else str(answer.headers))
    assert resume_token is not None
    secrets = [key, admin, SECRET, token, resume_token.partition(".")[2], key_digest(key), key_digest(admin)]
    out, err = capfd.readouterr()
    logs = "\n".join(record.getMessage() + str(record.exc_text or "") for record in caplog.records) + out + err
    assert re.search(r"/v1/stream", logs), "the log that is searched has the session's connection in it"
    for secret in secrets:
        assert secret not in logs
        assert secret not in "".join(answers)
        assert secret not in "".join(heard)
    assert PROMPT not in logs
    assert PROMPT not in "".join(answers)
    for path, kept in files(tmp_path).items():
        for secret in secrets:
            assert secret.encode() not in kept, path
