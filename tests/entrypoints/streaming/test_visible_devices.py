import pytest

from fastvideo.api.errors import ConfigValidationError
from fastvideo.entrypoints.streaming.visible_devices import VARIABLE, visible_devices, worker_devices


@pytest.fixture
def four_gpus(tmp_path):
    for name in ("nvidia0", "nvidia1", "nvidia2", "nvidia7", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("listed", "devices"),
    [
        (None, ("0", "1", "2", "3")),
        ("2,0", ("2", "0")),
        ("GPU-8932f937,GPU-1b5a, MIG-77 ", ("GPU-8932f937", "GPU-1b5a", "MIG-77")),
        ("", ()),
        ("-1", ()),
        ("1,-1,2", ("1",)),
        ("1,4,2", ("1",)),
        ("NoDevFiles", ()),
    ],
)
def test_the_parents_mapping_is_taken_as_cuda_takes_it(four_gpus, listed, devices) -> None:
    environ = {} if listed is None else {VARIABLE: listed}
    assert visible_devices(environ, four_gpus) == devices


def test_a_variable_on_a_machine_without_gpus_means_none(tmp_path) -> None:
    assert visible_devices({VARIABLE: "0,1"}, tmp_path) == ()


@pytest.mark.parametrize(
    ("devices", "num_workers", "gpus", "expected"),
    [
        ("", None, 1, [()]),
        ("", 3, 2, [(), (), ()]),
        ("abcd", None, 1, [("a",), ("b",), ("c",), ("d",)]),
        ("abcd", 2, 1, [("a",), ("b",)]),
        ("abcd", None, 2, [("a", "b"), ("c", "d")]),
        ("abc", None, 2, [("a", "b")]),
    ],
)
def test_each_worker_gets_devices_of_its_own(devices, num_workers, gpus, expected) -> None:
    assert worker_devices(devices, num_workers=num_workers, gpus_per_worker=gpus) == expected


@pytest.mark.parametrize(("num_workers", "gpus"), [(5, 1), (3, 2), (None, 8)])
def test_more_workers_than_devices_are_refused(num_workers, gpus) -> None:
    with pytest.raises(ConfigValidationError, match="4 are visible") as caught:
        worker_devices("abcd", num_workers=num_workers, gpus_per_worker=gpus)
    assert caught.value.path == "streaming.pool.num_workers"
