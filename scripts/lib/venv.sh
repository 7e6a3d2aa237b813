# Sourced by the scripts: a virtual environment in .venv with the wanted extras, made or brought up to date when needed.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

say() { printf '%s\n' "$*" >&2; }

find_python() {
  local candidate
  for candidate in python3.11 python3.12 python3.13 python3; do
    if command -v "$candidate" >/dev/null 2>&1 &&
      "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  say "fastvideo needs Python 3.11 or newer, and found none on the PATH. Install it and run this again."
  exit 1
}

# ensure_venv EXTRAS: .venv with fastvideo installed in place. The stamp holds what was installed from which
# requirements, so that a second run costs nothing.
ensure_venv() {
  local extras=$1 stamp=.venv/.fastvideo-installed wanted python
  wanted="$extras $(cat pyproject.toml constraints.txt | cksum)"
  if [ -x .venv/bin/python ] && grep -qxF "$wanted" "$stamp" 2>/dev/null; then
    return
  fi
  if [ ! -x .venv/bin/python ]; then
    python=$(find_python)
    say "Making .venv with $python"
    "$python" -m venv .venv
  fi
  if [ "$extras" = dev ] && [ "$(uname -sm)" != "Linux x86_64" ]; then
    # There is no wheel of fasttext-numpy2 for other machines, so pip compiles it.
    . scripts/lib/programs.sh
    ensure_program c++ g++ "building fasttext-numpy2"
  fi
  say "Installing fastvideo[$extras]; the first time takes a minute or two"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$extras]" ||
    { say "pip could not install the packages above; check the network and the disk, and run this again."; exit 1; }
  {
    printf '%s\n' "$wanted"
    # An environment made for tests serves, too.
    if [ "$extras" = dev ]; then printf 'ltx2 %s\n' "${wanted#dev }"; fi
  } >"$stamp"
}
