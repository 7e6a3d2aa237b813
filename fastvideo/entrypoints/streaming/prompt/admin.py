"""What whoever runs the server may ask about prompts."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Response
from starlette.responses import JSONResponse, PlainTextResponse

from fastvideo.entrypoints.access.dependencies import Admin
from fastvideo.entrypoints.streaming.prompt.gate import PromptGate
from fastvideo.resources import prompts_dir


def build_prompt_admin(gate: PromptGate) -> APIRouter:
    """`POST /v1/admin/prompts/reload`, for operators: reads the system prompts again, and tells which of
    them are the operator's own."""
    router = APIRouter()

    @router.post("/v1/admin/prompts/reload")
    async def reload_prompts(caller: Admin) -> Response:
        if gate.enhancer is None:
            return PlainTextResponse("no prompts are loaded: streaming.prompt.enabled is false\n", status_code=409)
        files = await asyncio.to_thread(gate.enhancer.reload_system_prompts)
        packaged = prompts_dir()
        return JSONResponse(
            {"prompts": {name.value: "package" if at.parent == packaged else "own" for name, at in files.items()}}
        )

    return router
