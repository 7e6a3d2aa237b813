"""The files of examples/deploy fit the program: its configs, commands, ports, paths and times."""

import re
from collections.abc import Iterator
from configparser import RawConfigParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from fastvideo.api.parser import load_serve_config, parse_config
from fastvideo.api.schema import ServeConfig
from fastvideo.api.support import check_serve_config
from fastvideo.entrypoints.cli.main import build_parser, cmd_init
from fastvideo.entrypoints.streaming.router.config import RouterConfig, load_router_config, parse_router_config

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "examples" / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text(encoding="utf-8"))
# After the drain's own time: workers and clients that do not end by themselves.
_AFTER_DRAIN_S = 16
_HEALTH_PATHS = {"/livez", "/readyz"}
CONTAINERFILES = sorted((DEPLOY / "containers").glob("Containerfile.*"))
SERVE_FILES = [*(DEPLOY / "containers").glob("serve_*.yaml"), DEPLOY / "compose" / "serve.yaml"]


def manifests() -> Iterator[dict[str, Any]]:
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")):
        yield from yaml.safe_load_all(path.read_text(encoding="utf-8"))


def manifest(kind: str, name: str) -> dict[str, Any]:
    (found,) = (each for each in manifests() if each["kind"] == kind and each.get("metadata", {}).get("name") == name)
    return found


def kubernetes_serve() -> ServeConfig:
    return parse_config(ServeConfig, yaml.safe_load(manifest("ConfigMap", "fastvideo")["data"]["serve.yaml"]))


def kubernetes_router() -> RouterConfig:
    return parse_router_config(yaml.safe_load(manifest("ConfigMap", "fastvideo")["data"]["router.yaml"]))


def instructions(containerfile: Path) -> list[tuple[str, str]]:
    text = re.sub(r"\\\n", " ", containerfile.read_text(encoding="utf-8"))
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.partition(" ")[0], line.partition(" ")[2].strip()) for line in lines]


@pytest.mark.parametrize("path", SERVE_FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_serve_file_is_a_config_that_the_server_takes(path: Path) -> None:
    config = load_serve_config(path)
    check_serve_config(config)
    assert config.server.host == "0.0.0.0"  # of a container


def test_the_config_of_kubernetes_is_one_that_the_server_takes_and_asks_for_keys() -> None:
    config = kubernetes_serve()
    check_serve_config(config)
    assert config.server.auth.keys_file == "/etc/fastvideo/keys/keys.yaml"


def test_routers_ask_the_servers_that_there_are() -> None:
    router = load_router_config(DEPLOY / "compose" / "router.yaml")
    serve = load_serve_config(DEPLOY / "compose" / "serve.yaml")
    servers = {name for name, service in COMPOSE["services"].items() if "serve" in service.get("command", [])}
    assert {(urlsplit(each.url).hostname, urlsplit(each.url).port) for each in router.replicas} == {
        (name, serve.server.port) for name in servers
    }
    stateful = manifest("StatefulSet", "server")["spec"]
    assert [urlsplit(each.url).hostname for each in kubernetes_router().replicas] == [
        f"server-{number}.{stateful['serviceName']}" for number in range(stateful["replicas"])
    ]


def test_servers_reach_the_redis_that_there_is() -> None:
    for config, names in (
        (load_serve_config(DEPLOY / "compose" / "serve.yaml"), set(COMPOSE["services"])),
        (kubernetes_serve(), {each["metadata"]["name"] for each in manifests() if each["kind"] == "Service"}),
    ):
        assert config.streaming is not None
        for url in (config.streaming.stores.sessions, config.streaming.stores.blobs):
            assert urlsplit(url).scheme == "redis"
            assert urlsplit(url).hostname in names


def test_every_command_is_one_that_the_program_takes() -> None:
    commands = [
        service["command"] for service in COMPOSE["services"].values() if service["image"].startswith("fastvideo")
    ]
    for kind, name in (("StatefulSet", "server"), ("Deployment", "router")):
        commands += [each["args"] for each in manifest(kind, name)["spec"]["template"]["spec"]["containers"]]
    for path in CONTAINERFILES:
        commands += [yaml.safe_load(value) for word, value in instructions(path) if word == "CMD"]
    commands.append(unit()["Service"]["ExecStart"].split()[1:])
    assert len(commands) == 8
    for command in commands:
        assert Path(build_parser(cmd_init()).parse_args(command).config).is_absolute()


def test_containers_run_the_files_that_are_mounted() -> None:
    for service in COMPOSE["services"].values():
        mounts = {value.split(":")[1]: value.split(":")[0] for value in service.get("volumes", [])}
        if mounts:
            assert (DEPLOY / "compose" / mounts[service["command"][-1]]).is_file()
    for kind, name in (("StatefulSet", "server"), ("Deployment", "router")):
        pod = manifest(kind, name)["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        (volume,) = (each for each in pod["volumes"] if each["name"] == "config")
        (mount,) = (each for each in container["volumeMounts"] if each["name"] == "config")
        (item,) = volume["configMap"]["items"]
        assert item["key"] in manifest("ConfigMap", volume["configMap"]["name"])["data"]
        assert container["args"][-1] == f"{mount['mountPath']}/{item['path']}"


def test_probes_and_ports_are_the_servers_and_the_routers() -> None:
    for kind, name, port in (
        ("StatefulSet", "server", kubernetes_serve().server.port),
        ("Deployment", "router", kubernetes_router().port),
    ):
        (container,) = manifest(kind, name)["spec"]["template"]["spec"]["containers"]
        (offered,) = container["ports"]
        assert offered["containerPort"] == port
        probes = {key: value for key, value in container.items() if key.endswith("Probe")}
        assert {probe["httpGet"]["path"] for probe in probes.values()} == _HEALTH_PATHS
        assert {probe["httpGet"]["port"] for probe in probes.values()} == {offered["name"]}
        assert probes["readinessProbe"]["httpGet"]["path"] == "/readyz"
        (service_port,) = manifest("Service", name)["spec"]["ports"]
        assert service_port["targetPort"] == offered["name"]
    (published,) = COMPOSE["services"]["router"]["ports"]
    assert published == f"127.0.0.1:9000:{load_router_config(DEPLOY / 'compose' / 'router.yaml').port}"


def test_a_server_that_is_starting_has_as_long_as_its_warm_up_takes() -> None:
    config = kubernetes_serve()
    assert config.streaming is not None
    (container,) = manifest("StatefulSet", "server")["spec"]["template"]["spec"]["containers"]
    probe = container["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= config.streaming.warmup.timeout_seconds


def test_a_server_is_not_killed_while_it_drains() -> None:
    streaming = kubernetes_serve().streaming
    assert streaming is not None
    needed_s = streaming.drain_timeout_seconds + _AFTER_DRAIN_S
    pods = [manifest(kind, name) for kind, name in (("StatefulSet", "server"), ("Deployment", "router"))]
    given = [pod["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] for pod in pods]
    given += [
        int(service["stop_grace_period"].removesuffix("s"))
        for service in COMPOSE["services"].values()
        if service["image"].startswith("fastvideo")
    ]
    given.append(int(unit()["Service"]["TimeoutStopSec"]))
    assert len(given) == 6
    assert min(given) >= needed_s


@pytest.mark.parametrize("path", CONTAINERFILES, ids=lambda path: path.name)
def test_what_an_image_copies_is_there_and_not_ignored(path: Path) -> None:
    rules = [
        line
        for line in (ROOT / ".containerignore").read_text(encoding="utf-8").splitlines()
        if line[:1] not in ("", "#")
    ]
    assert rules[0] == "*"
    kept = [rule[1:] for rule in rules if rule.startswith("!")]
    sources = [
        source
        for word, value in instructions(path)
        if word == "COPY" and not value.startswith("--from")
        for source in value.split()[:-1]
    ]
    assert {"requirements.lock", "fastvideo", "prompts"} <= set(sources)
    for source in sources:
        assert (ROOT / source).exists(), source
        assert any(f"{source}/".startswith(f"{rule}/") or rule.startswith(f"{source}/") for rule in kept), source
    assert (ROOT / ".dockerignore").read_bytes() == (ROOT / ".containerignore").read_bytes()


@pytest.mark.parametrize("path", CONTAINERFILES, ids=lambda path: path.name)
def test_an_image_runs_the_tested_torch_as_nobody_in_particular(path: Path) -> None:
    found = instructions(path)
    (torch,) = (
        line
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if line.startswith("torch==")
    )
    assert ("ARG", f"TORCH={torch}") in found
    users = [value for word, value in found if word == "USER"]
    assert users == ["10001"]
    (run_as,) = {
        manifest(kind, name)["spec"]["template"]["spec"]["securityContext"]["runAsUser"]
        for kind, name in (("StatefulSet", "server"), ("Deployment", "router"))
    }
    assert str(run_as) in users


def unit() -> RawConfigParser:
    parser = RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOY / "systemd" / "fastvideo.service", encoding="utf-8")
    return parser
