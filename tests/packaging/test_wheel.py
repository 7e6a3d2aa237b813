"""The page, its assets, the presets and the embedded model travel in the wheel."""

import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import httpx
import pytest

REPOSITORY = Path(__file__).parents[2]
CONFIG = """
generator: {model_path: "mock:"}
server: {host: 127.0.0.1, port: 0}
default_request: {sampling: {width: 256, height: 256, num_frames: 9, num_inference_steps: 1}}
streaming: {}
"""


def run(*command, **kwargs):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **kwargs)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.packaging
@pytest.mark.timeout(600)
def test_an_installed_wheel_serves_the_page_from_another_folder(tmp_path):
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    run(*build, str(REPOSITORY), env=environment)
    (wheel,) = tmp_path.glob("fastvideo-*.whl")
    venv.create(tmp_path / "empty", with_pip=True)
    python = tmp_path / "empty" / "bin" / "python"
    constraints = str(REPOSITORY / "constraints.txt")
    run(python, "-m", "pip", "install", "-q", "-c", constraints, str(wheel), env=environment)

    which = "from fastvideo.entrypoints.model_path import local_checkpoint; print(local_checkpoint('embedded:'))"
    model = Path(run(python, "-c", which, env=environment, cwd=tmp_path).strip())
    assert model.is_relative_to(tmp_path / "empty")
    assert (model.parent / "text_encoder" / "model.safetensors").is_file()

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "serve.yaml").write_text(CONFIG)
    command = [tmp_path / "empty" / "bin" / "fastvideo", "serve", "--config", "serve.yaml"]
    process = subprocess.Popen(
        command, cwd=elsewhere, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert process.stdout is not None
        lines = []
        address = None
        for line in process.stdout:
            lines.append(line)
            if found := re.search(r"http://[\d.]+:\d+", line):
                address = found.group()
                break
        assert address, "".join(lines)
        page = httpx.get(f"{address}/")
        assert page.status_code == 200
        assets = re.findall(r'(?:src|href)="((?!data:|https?:)[^"#]+\.(?:js|css|svg))"', page.text)
        assert assets
        for asset in assets:
            assert httpx.get(f"{address}/{asset.lstrip('./')}").status_code == 200, asset
        presets = httpx.get(f"{address}/v1/presets").json()["presets"]
        assert presets
    finally:
        process.terminate()
        process.wait(timeout=20)
        process.stdout.close()
