#!/usr/bin/env bash
# A worker and Dynamo's HTTP frontend on this machine, in an environment of their own: no etcd, no NATS.
# Usage: examples/dynamo/run.sh [CONFIG.yaml] [arguments of python -m fastvideo_dynamo]
# The frontend listens on FRONTEND (127.0.0.1:8000); the environment lies in DYNAMO_VENV (.venv-dynamo).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

config=configs/serve_embedded.yaml
if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then
  config=$1
  shift
fi
frontend=${FRONTEND:-127.0.0.1:8000}
venv=${DYNAMO_VENV:-.venv-dynamo}
if ! "$venv/bin/python" -c 'import dynamo.runtime, fastvideo' 2>/dev/null; then
  # Dynamo's package holds pydantic below 2.14, so the versions that the tests know are taken but for that one.
  python3.11 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check \
    -c <(grep -viE '^(pydantic|pydantic_core|typing-inspection|typing_extensions)==' constraints.txt) \
    -e '.[ltx2]' ai-dynamo-runtime==1.6.1
fi

# Workers and frontends find each other through this folder, and only on this machine.
export DYN_DISCOVERY_BACKEND=${DYN_DISCOVERY_BACKEND:-file} DYN_REQUEST_PLANE=${DYN_REQUEST_PLANE:-tcp}
export DYN_TCP_RPC_HOST=${DYN_TCP_RPC_HOST:-127.0.0.1} DYN_TCP_RESPONSE_STREAM_HOST=${DYN_TCP_RESPONSE_STREAM_HOST:-127.0.0.1}
export DYN_LOG=${DYN_LOG:-warn} PYTHONPATH=examples/dynamo${PYTHONPATH:+:$PYTHONPATH}
if [ -z "${DYN_FILE_KV:-}" ]; then
  DYN_FILE_KV=$(mktemp -d)
  export DYN_FILE_KV
  trap 'rm -rf "$DYN_FILE_KV"' EXIT
fi

"$venv/bin/python" -m fastvideo_dynamo --config "$config" "$@" &
worker=$!
"$venv/bin/python" -m fastvideo_dynamo.http_frontend "$frontend" &
http=$!
stop() { kill "$worker" "$http" 2>/dev/null || true; }
trap stop INT TERM
printf 'http://%s/v1/videos answers once http://%s/v1/models lists a model.\n' "$frontend" "$frontend"
# Whichever ends takes the other along.
wait -n "$worker" "$http" || true
trap '' INT TERM
stop
wait
