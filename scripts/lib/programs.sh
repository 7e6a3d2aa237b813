# Sourced by the scripts after venv.sh: programs that come from the system rather than from PyPI.

# ensure_program PROGRAM PACKAGE WHOSE: PROGRAM on the PATH, installed from PACKAGE when we may; WHOSE needs it.
ensure_program() {
  local program=$1 package=$2 whose=$3
  if command -v "$program" >/dev/null 2>&1; then
    return
  fi
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    say "Installing $package for $whose"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >/dev/null
  else
    say "For $whose $program is missing: install your distribution's package '$package' and run this again."
    exit 1
  fi
}
