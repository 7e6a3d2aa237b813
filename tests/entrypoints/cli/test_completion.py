import shutil
import subprocess

import pytest

from fastvideo.entrypoints.cli.completion import SHELLS, completion_script
from fastvideo.entrypoints.cli.main import cmd_init, main


def completed(script, words):
    """What bash offers after these words, the last of which is begun."""
    line = " ".join(words)
    ask = (
        f"{script}\n"
        f"COMP_WORDS=({' '.join(word or repr('') for word in words)}); COMP_CWORD={len(words) - 1}\n"
        f"COMP_LINE={line!r}; COMP_POINT={len(line)}\n"
        "_shtab_fastvideo fastvideo\n"
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        [shutil.which("bash"), "--norc", "-c", ask], capture_output=True, text=True, timeout=30, check=False
    )
    return {word.strip() for word in done.stdout.split("\n")} - {""}


def test_bash_completes_every_command_and_their_options():
    script = completion_script("bash")
    assert completed(script, ["fastvideo", ""]) >= {command.name for command in cmd_init()}
    assert completed(script, ["fastvideo", "insp"]) == {"inspect"}
    assert "--json" in completed(script, ["fastvideo", "inspect", "--"])
    assert completed(script, ["fastvideo", "completion", ""]) >= set(SHELLS)


def test_bash_completes_files_where_a_file_is_meant(tmp_path, monkeypatch):
    (tmp_path / "weights.safetensors").touch()
    monkeypatch.chdir(tmp_path)
    assert completed(completion_script("bash"), ["fastvideo", "inspect", "wei"]) == {"weights.safetensors"}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_for_each_shell_names_every_command(shell, capsys):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert [command.name for command in cmd_init() if command.name not in script] == []
