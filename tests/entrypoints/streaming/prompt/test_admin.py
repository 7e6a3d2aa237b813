"""Who may have the system prompts read again, and what they hear."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from fastvideo.api.schema import PromptEnhancerConfig
from fastvideo.entrypoints.streaming.prompt.gate import PromptGate, build_gate
from fastvideo.entrypoints.streaming.server import build_app


async def post(fakes: Any, gate: PromptGate, client: str = "127.0.0.1", **headers: str) -> httpx.Response:
    app = build_app(fakes.config(), fakes.StepGenerator(), prompts=gate)
    transport = httpx.ASGITransport(app, client=(client, 50_000))
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8000") as http:
        return await http.post("/v1/admin/prompts/reload", headers=named)


@pytest.fixture
def own_prompts(tmp_path: Path) -> Path:
    (tmp_path / "enhance.txt").write_text("Say it shorter.")
    return tmp_path


def config(fakes: Any, folder: Path) -> Any:
    return fakes.config(prompt=PromptEnhancerConfig(enabled=True, system_prompt_dir=str(folder))).streaming


async def test_prompts_are_read_again_and_the_operators_own_are_told(fakes, own_prompts: Path) -> None:
    gate = build_gate(config(fakes, own_prompts))
    answer = await post(fakes, gate)
    assert answer.status_code == 200
    assert answer.json() == {"prompts": {"enhance": "own", "auto_extend": "package", "rewrite": "package"}}
    (own_prompts / "rewrite.txt").write_text("Rhyme.")
    assert (await post(fakes, gate)).json()["prompts"]["rewrite"] == "own"
    await gate.aclose()


@pytest.mark.parametrize(
    ("client", "headers"),
    [
        ("192.0.2.7", {}),
        ("127.0.0.1", {"x_forwarded_for": "192.0.2.7"}),
        ("127.0.0.1", {"origin": "https://elsewhere.example"}),
        ("127.0.0.1", {"host": "elsewhere.example"}),
    ],
    ids=["another machine", "a proxy", "a page", "another name"],
)
async def test_nobody_else_may(fakes, own_prompts: Path, client: str, headers: dict[str, str]) -> None:
    gate = build_gate(config(fakes, own_prompts))
    assert (await post(fakes, gate, client, **headers)).status_code == 403
    await gate.aclose()


async def test_without_a_language_model_there_is_nothing_to_read(fakes) -> None:
    answer = await post(fakes, PromptGate())
    assert answer.status_code == 409
    assert "streaming.prompt.enabled" in answer.text


@pytest.mark.parametrize("enabled", [False, True])
async def test_clients_are_told_whether_prompts_can_be_enhanced(fakes, own_prompts: Path, enabled: bool) -> None:
    gate = build_gate(config(fakes, own_prompts)) if enabled else PromptGate()
    app = build_app(fakes.config(), fakes.StepGenerator(), prompts=gate)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http:
        assert (await http.get("/v1/info")).json()["features"]["prompt_enhancement"] is enabled
    await gate.aclose()
