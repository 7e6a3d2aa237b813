"""Certificates on both sides of a router: its own, which clients check, and those of replicas, which it checks."""

from __future__ import annotations

import asyncio
import gc
import json
import shutil
import socket
import ssl
import subprocess
import warnings

import httpx
import pytest
import websockets

from fastvideo.entrypoints.streaming.router.config import ReplicaEndpoint, RouterConfig, parse_router_config
from fastvideo.entrypoints.streaming.router.main import build_router_app
from fastvideo.entrypoints.streaming.router.process import build_server
from fastvideo.entrypoints.streaming.router.tls import TlsFault, TlsFiles, replica_context, serving_context
from fastvideo.entrypoints.streaming.start_failure import StartFailure

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="certificates are made with openssl")
MIB = 1 << 20


@pytest.fixture(autouse=True)
def failed_handshakes_are_collected():
    """asyncio leaves the transport of a TLS handshake that failed to the garbage collector, which complains of it."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Makes a certificate for an address, which is its own authority: the paths of it and its key."""
    folder = tmp_path_factory.mktemp("certificates")

    def make(name, address="127.0.0.1", password=None):
        files = TlsFiles(str(folder / f"{name}.pem"), str(folder / f"{name}.key"))
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
                *("-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName=IP:{address}"),
                *("-out", files.cert_file, "-keyout", files.key_file),
                *(("-passout", f"pass:{password}") if password else ("-noenc",)),
            ],
            check=True,
            capture_output=True,
            timeout=30,
        )
        return files

    return make


@pytest.fixture(scope="module")
def here(certificates):
    return certificates("here")


def trusting(files):
    return ssl.create_default_context(cafile=files.cert_file)


async def test_clients_are_served_over_https_and_replicas_are_told_so(parts, replicas, route, here):
    (a,) = await replicas("a")
    a.pages = {"/": "<html>"}
    async with route(a, tls=here) as router:
        async with router.client(ssl=trusting(here)) as client:
            assert (await parts.started(client))["model_id"] == "a"
            for frame in ("a lighthouse", b"\x00\xff" * 70_000, ""):
                await client.send(frame)
                assert await client.recv() == frame
        async with httpx.AsyncClient(verify=trusting(here), trust_env=False) as http:
            assert (await http.get(router.url)).text == "<html>"
        with pytest.raises(ssl.SSLCertVerificationError):
            await websockets.connect(router.stream, proxy=None)
        with pytest.raises((websockets.InvalidHandshake, EOFError, OSError)):
            await websockets.connect(router.stream.replace("wss", "ws"), proxy=None)
    assert a.handshakes[0].headers["X-Forwarded-Proto"] == "https"
    assert a.requests[0].headers["X-Forwarded-Proto"] == "https"


async def test_a_client_that_does_not_read_gets_everything_over_https_too(parts, replicas, route, here):
    (a,) = await replicas("a")
    pieces = [bytes([number]) * MIB for number in range(24)]
    sent = []

    async def floods(replica, connection):
        await connection.recv()
        await replica.say(connection, "queue_status", position=0, queue_depth=0)
        for piece in pieces:
            await connection.send(piece)
            sent.append(len(piece))

    a.script = floods
    async with route(a, tls=here) as router, router.client(ssl=trusting(here), max_queue=1) as client:
        await parts.heard(client)
        seen = []

        def full():
            seen.append(len(sent))
            return len(seen) > 100 and seen[-100] == seen[-1]

        await parts.until(full)
        assert len(sent) < len(pieces)
        async with asyncio.timeout(30):
            assert [await client.recv() for _ in pieces] == pieces


async def test_replicas_are_reached_over_https_when_their_authority_is_known(parts, replicas, route, here):
    a, b = await replicas("a", "b")
    for replica in (a, b):
        await replica.stop()
        replica.tls = serving_context(here)
        await replica.start()
    a.pages = b.pages = {"/": "<html>"}
    async with route(a, b, replica_ca_file=here.cert_file) as router, router.client() as client:
        await parts.started(client)
        await client.send(bytes(3 * MIB))
        assert await client.recv() == bytes(3 * MIB)
        async with httpx.AsyncClient(trust_env=False) as http:
            assert (await http.get(router.url)).text == "<html>"


@pytest.mark.parametrize("fault", ["an authority that nobody knows", "another address"])
async def test_a_replica_whose_certificate_is_not_good_gets_nothing(parts, replicas, route, here, certificates, fault):
    (a,) = await replicas("a")
    await a.stop()
    other = certificates("there", address="127.0.0.9")
    a.tls = serving_context(here if fault == "an authority that nobody knows" else other)
    await a.start()
    async with route(
        a, wait=False, failure_threshold=1, health_check_interval_seconds=1000.0, replica_ca_file=other.cert_file
    ) as router:
        known = router.state.registry.get(a.url)
        await parts.until(lambda: known.health.consecutive_failures > 0)
        # Also where no check has found it out yet.
        await router.state.registry.record_success(known, recovery_threshold=1, latency_ms=1.0)
        async with router.client(opening=None) as client:
            message, code, _ = await parts.last_words(client)
    assert (message["code"], code) == ("gpu_unavailable", 1013)
    assert a.handshakes == []
    assert a.requests == []


async def test_a_certificate_that_was_renewed_is_taken_over_and_a_wrong_one_is_not(
    parts, replicas, route, here, certificates, caplog
):
    (a,) = await replicas("a")
    renewed = certificates("renewed")

    async def common_name(router):
        context = ssl.create_default_context(cafile=here.cert_file)
        context.load_verify_locations(renewed.cert_file)
        async with router.client(ssl=context) as client:
            await parts.started(client)
            shown = client.transport.get_extra_info("ssl_object").getpeercert()
            return dict(pair for (pair,) in shown["subject"])["commonName"]

    async with route(a, tls=here) as router:
        assert await common_name(router) == "here"
        endpoints = router.state.config.replicas
        await router.server._read_again(lambda: RouterConfig(replicas=endpoints, tls=renewed))
        assert await common_name(router) == "renewed"
        mixed = TlsFiles(here.cert_file, renewed.key_file)
        await router.server._read_again(lambda: RouterConfig(replicas=endpoints, tls=mixed, failure_threshold=9))
        assert await common_name(router) == "renewed"
        assert router.state.config.failure_threshold != 9
    assert "was not taken over: expected a certificate in" in caplog.text


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"tls": TlsFiles("/nowhere/cert.pem", "/nowhere/key.pem")}, "expected a certificate in /nowhere/cert.pem"),
        ({"replica_ca_file": "/nowhere/ca.pem"}, "expected certificates of authorities in /nowhere/ca.pem"),
    ],
)
def test_files_that_cannot_be_used_are_one_sentence_before_anything_is_served(settings, said):
    app = build_router_app(RouterConfig(replicas=[ReplicaEndpoint("http://a")], **settings))
    with asyncio.Runner() as runner, pytest.raises(StartFailure, match=said):
        runner.run(_built(app))


async def _built(app):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        build_server(app, listener)


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(certificates):
    with pytest.raises(TlsFault, match="without a password: the key has a password"):
        serving_context(certificates("locked", password="secret"))


def test_what_is_no_certificate_is_refused(tmp_path):
    path = tmp_path / "ca.pem"
    path.write_text("not PEM")
    with pytest.raises(TlsFault, match=r"ca\.pem"):
        replica_context(str(path))


def test_a_file_says_where_certificates_are():
    raw = {"replicas": [{"url": "https://a"}], "tls": {"cert_file": "c", "key_file": "k"}, "replica_ca_file": "r"}
    config = parse_router_config(json.loads(json.dumps({"router": raw})))
    assert (config.tls, config.replica_ca_file) == (TlsFiles("c", "k"), "r")
