from collections.abc import Iterator

import pytest

from fastvideo.pipelines.basic.ltx2.stopwatch import Stopwatch


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_times_of_one_name_add_up_also_when_the_work_fails() -> None:
    clock = Clock()
    watch = Stopwatch(clock)
    with watch.timing("work"):
        clock.now_s += 1.0
    with pytest.raises(KeyError), watch.timing("work"):
        clock.now_s += 0.5
        raise KeyError
    assert watch.ms == {"work": 1500.0}


def test_only_the_making_of_items_counts() -> None:
    clock = Clock()
    watch = Stopwatch(clock)

    def work() -> Iterator[int]:
        for item in range(3):
            clock.now_s += 1.0
            yield item

    items = []
    for item in watch.timing_each("items", work()):
        items.append(item)
        clock.now_s += 100.0
    assert items == [0, 1, 2]
    assert watch.ms == {"items": 3000.0}
