"""Sessions of a service that takes back only the states that it gave out."""

from __future__ import annotations

import dataclasses
from typing import Any

from fastvideo.api.access_config import SnapshotsConfig
from fastvideo.entrypoints.access.state_signatures import StateSignatures
from fastvideo.entrypoints.streaming.server import build_app


async def test_only_a_snapshot_that_was_given_out_opens_a_session(stage: Any) -> None:
    one = stage(generation_segment_cap=2)
    one.server.signatures = StateSignatures(b"s" * 32)
    client = one.open()
    client.say("segment_prompt_source", prompt="one")
    await client.hears("ltx2_segment_complete")
    client.say("snapshot_state")
    snapshot = await client.hears("continuation_state_snapshot")
    client.say("session_stop")
    await one.over()
    changed = snapshot["state"]["payload"] | {"segment_index": 7}
    for state in (
        {"kind": snapshot["kind"], "payload": snapshot["payload"]},
        snapshot["state"] | {"payload": changed},
        snapshot["state"] | {"signature": "fvs1." + "A" * 43},
    ):
        refused = one.open(continuation_state=state)
        await one.over()
        assert (refused.of("error")[0]["reason"], refused.closed) == ("state_invalid", (1003, "invalid_init"))
    again = one.open(continuation_state=snapshot["state"])
    again.say("segment_prompt_source", prompt="two")
    await again.hears("ltx2_segment_complete")
    assert one.generator.requests[-1].state.payload["segment_index"] == 0
    again.say("session_stop")
    await one.over()


async def test_without_signatures_a_snapshot_has_none_and_any_sound_state_is_taken(stage: Any) -> None:
    one = stage(generation_segment_cap=1)
    client = one.open(continuation_state={"kind": "ltx2.v1", "payload": {"segment_index": 4}, "signature": "fvs1.x"})
    client.say("snapshot_state")
    snapshot = await client.hears("continuation_state_snapshot")
    assert set(snapshot["state"]) == {"kind", "payload"}
    client.say("session_stop")
    await one.over()


async def test_the_config_decides(fakes: Any) -> None:
    config = fakes.config()
    assert build_app(config, fakes.StepGenerator()).state.server_state.signatures is None
    signed = dataclasses.replace(config.server, snapshots=SnapshotsConfig(signed=True))
    app = build_app(dataclasses.replace(config, server=signed), fakes.StepGenerator())
    assert app.state.server_state.signatures is not None
