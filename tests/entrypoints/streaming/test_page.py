import httpx
import pytest
from fastapi import FastAPI

from fastvideo.entrypoints.streaming.page import PageHeaders, content_security_policy, mount_page


def test_the_policy_lets_the_page_talk_to_its_own_host_only() -> None:
    policy = content_security_policy("box.example:8000")
    assert "connect-src 'self' ws://box.example:8000 wss://box.example:8000;" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("host", ["", "a b", "a;script-src *", "x" * 300, "a\r\nset-cookie: x"])
def test_a_host_header_cannot_change_the_policy(host: str) -> None:
    assert "connect-src 'self';" in content_security_policy(host)


async def test_only_the_pages_own_folders_are_served(tmp_path) -> None:
    for name in ("js", "css", "assets", "node_modules"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file.js").write_text("1")
    (tmp_path / "index.html").write_text("<!doctype html>")
    (tmp_path / "package.json").write_text("{}")
    app = FastAPI()
    app.add_middleware(PageHeaders)
    mount_page(app, tmp_path)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as client:
        found = {path: (await client.get(path)).status_code for path in ("/", "/js/file.js", "/css/file.js")}
        assert set(found.values()) == {200}
        for path in ("/package.json", "/node_modules/file.js", "/index.html", "/js/..%2fpackage.json"):
            missing = await client.get(path)
            assert missing.status_code == 404
            assert "default-src 'none'" in missing.headers["content-security-policy"]
        assert (await client.head("/")).status_code == 200
