import asyncio

from fastvideo.entrypoints.streaming.outbox import Outbox


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_frames_leave_in_order_and_the_end_follows_them() -> None:
    box = Outbox()
    await box.put("a")
    await box.put(b"b")
    box.put_now("c")
    box.close()
    taken = []
    while (frame := await box.take()) is not None:
        taken.append(frame)
        box.sent(frame)
    assert taken == ["a", b"b", "c"]
    assert box.unsent_bytes == 0


async def test_putting_waits_until_what_was_taken_is_really_sent() -> None:
    box = Outbox(max_bytes=10)
    await box.put(b"12345678")
    second = asyncio.create_task(box.put(b"1234"))
    await settle()
    assert not second.done()
    frame = await box.take()
    await settle()
    assert not second.done()
    assert frame is not None
    box.sent(frame)
    await second
    assert box.unsent_bytes == 4


async def test_a_frame_larger_than_the_bound_passes_when_nothing_else_waits() -> None:
    box = Outbox(max_bytes=10)
    await box.put(b"x" * 1000)
    assert box.unsent_bytes == 1000


async def test_drained_means_handed_to_the_socket() -> None:
    box = Outbox()
    box.put_now("frame")
    drained = asyncio.create_task(box.drained())
    frame = await box.take()
    await settle()
    assert not drained.done()
    assert frame is not None
    box.sent(frame)
    await drained


async def test_closing_wakes_everybody_who_waits() -> None:
    box = Outbox(max_bytes=1)
    taker = asyncio.create_task(box.take())
    await settle()
    box.close()
    assert await taker is None
    box.put_now("late")
    assert await box.take() is None

    full = Outbox(max_bytes=1)
    full.put_now("x")
    putter, waiter = asyncio.create_task(full.put("y")), asyncio.create_task(full.drained())
    await settle()
    full.close()
    await asyncio.gather(putter, waiter)


async def test_discarding_drops_what_waits_and_makes_room() -> None:
    box = Outbox(max_bytes=10)
    await box.put(b"123456789")
    putter = asyncio.create_task(box.put(b"next"))
    await settle()
    box.discard()
    await putter
    assert await box.take() == b"next"
    assert box.unsent_bytes == 4
