"""Who may import whom, and what must stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import fastvideo

PACKAGE = Path(fastvideo.__file__).parent
# A layer may import itself and the layers that stand after it.
LAYERS = {
    "client": {"api", "media", "entrypoints"},
    "entrypoints": {"pipelines", "models", "media", "api", "client", "eval"},
    "eval": {"media", "api"},
    "pipelines": {"models", "media", "api"},
    "models": {"api"},
    "media": {"api"},
    "api": set(),
}
TOP = {"resources", "__init__"}
LIGHT_COMMANDS = (["--help"], ["--version"], ["serve", "--help"], ["completion", "bash"], ["bench", "--help"])


def imported_layers(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            names = [node.module or ""]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "fastvideo" and len(parts) > 1 and parts[1] not in TOP:
                yield parts[1]


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_go_downwards_only(layer):
    for path in sorted((PACKAGE / layer).rglob("*.py")):
        extra = set(imported_layers(path)) - LAYERS[layer] - {layer}
        assert not extra, f"{path.relative_to(PACKAGE)} imports {sorted(extra)}"


@pytest.mark.parametrize(
    "statement",
    [
        "import fastvideo",
        "import fastvideo.api",
        "import fastvideo.client",
        "import fastvideo.pipelines.basic.ltx2.continuation",
        "import fastvideo.entrypoints.cli.bench_serving",
        *(
            f"from fastvideo.entrypoints.cli.main import main\ntry:\n    main({words!r})\nexcept SystemExit:\n    pass"
            for words in LIGHT_COMMANDS
        ),
    ],
)
def test_light_modules_import_neither_torch_nor_a_web_framework_nor_ffmpeg(statement):
    check = "import sys\nheavy = {'torch', 'fastapi', 'av', 'transformers'} & set(sys.modules)\nassert not heavy, heavy"
    code = f"{statement}\n{check}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_a_server_without_a_collector_imports_nothing_to_send_spans_with():
    code = (
        "import sys\n"
        "from fastvideo.entrypoints.streaming.mock_server import build_mock_app\n"
        "build_mock_app()\n"
        "sends = [name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))]\n"
        "assert not sends, sends"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_every_listed_name_of_the_api_exists():
    import fastvideo.api as api

    missing = [name for name in api.__all__ if not hasattr(api, name)]
    assert not missing
