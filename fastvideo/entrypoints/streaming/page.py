"""The page: its files, under a content security policy that lets nothing else in."""

from __future__ import annotations

import re
from pathlib import Path

from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import FileResponse
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# What the page consists of; whatever else lies in its folder (tools, their packages) is not served.
_FOLDERS = ("assets", "css", "js")
_HOST = re.compile(r"[A-Za-z0-9.\-:\[\]]{1,255}")


def mount_page(app: FastAPI, folder: Path) -> None:
    """Serve ``index.html`` at ``/``, ``admin.html`` at ``/admin``, and the pages' folders beside them. Neither holds
    anything that is not for everybody: what they show they ask for."""

    async def index() -> FileResponse:
        return FileResponse(folder / "index.html", media_type="text/html; charset=utf-8")

    app.add_api_route("/", index, methods=["GET", "HEAD"], include_in_schema=False)

    async def admin() -> FileResponse:
        return FileResponse(folder / "admin.html", media_type="text/html; charset=utf-8")

    app.add_api_route("/admin", admin, methods=["GET", "HEAD"], include_in_schema=False)
    for name in _FOLDERS:
        app.mount(f"/{name}", StaticFiles(directory=folder / name, check_dir=False), name=name)


class PageHeaders:
    """Adds to every HTTP response what browsers need to hear; files are revalidated, so that a new version shows."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        policy = content_security_policy(Headers(scope=scope).get("host", ""))

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["content-security-policy"] = policy
                headers["x-content-type-options"] = "nosniff"
                headers["referrer-policy"] = "no-referrer"
                headers["cross-origin-opener-policy"] = "same-origin"
                headers.setdefault("cache-control", "no-cache")
            await send(message)

        await self._app(scope, receive, send_with_headers)


def content_security_policy(host: str) -> str:
    """The policy for a page at ``host``. WebSockets are named because not every browser counts them as 'self'."""
    sockets = f" ws://{host} wss://{host}" if _HOST.fullmatch(host) else ""
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
        f"connect-src 'self'{sockets}; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
