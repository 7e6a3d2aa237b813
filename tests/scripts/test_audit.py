"""What scripts/check says of the packages that fastvideo runs on."""

from dataclasses import replace

from scripts.audit import licence_faults, lock_faults
from scripts.lock import LOCK, entries
from scripts.runtime_closure import ROOT, Package, comes_with_torch, own_requirements, runtime_closure

_LOCK = """\
# a comment
anyio==4.1.0 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
uvloop==1.0 ; sys_platform != 'win32' \\
    --hash=sha256:cc
"""
_PACKAGES = {
    "anyio": Package("anyio", "4.1.0", "MIT", ()),
    "uvloop": Package("uvloop", "1.0", "Apache-2.0 AND MIT", ()),
}
_CONSTRAINTS = "AnyIO==4.1.0\nuvloop==1.0\n"


def test_a_lock_with_what_is_installed_and_tested_has_no_fault() -> None:
    assert {name: version for name, (version, _) in entries(_LOCK).items()} == {"anyio": "4.1.0", "uvloop": "1.0"}
    assert lock_faults(_PACKAGES, _LOCK, _CONSTRAINTS) == []


def test_a_package_that_is_missing_old_unhashed_or_untested_is_named() -> None:
    without = _LOCK.partition("uvloop")[0]
    assert lock_faults(_PACKAGES, without, _CONSTRAINTS) == ["uvloop is required and not in requirements.lock"]
    newer = {**_PACKAGES, "anyio": replace(_PACKAGES["anyio"], version="4.2.0")}
    assert lock_faults(newer, _LOCK, _CONSTRAINTS) == ["anyio is 4.1.0 in requirements.lock and 4.2.0 here"]
    unhashed = "anyio==4.1.0\nuvloop==1.0 \\\n    --hash=sha256:cc\n"
    assert lock_faults(_PACKAGES, unhashed, _CONSTRAINTS) == ["anyio has no hash in requirements.lock"]
    other = _CONSTRAINTS.replace("uvloop==1.0", "uvloop==2.0")
    assert lock_faults(_PACKAGES, _LOCK, other) == ["uvloop is 1.0 in requirements.lock and 2.0 in constraints.txt"]


def test_a_licence_that_is_not_on_the_list_or_not_stated_is_named() -> None:
    assert licence_faults(_PACKAGES) == []
    for licence in ("AGPL-3.0-only", "MIT AND GPL-3.0", ""):
        (fault,) = licence_faults({"x": Package("x", "1", licence, ())})
        assert fault.startswith("x 1 states the licence ")


def test_the_closure_holds_what_the_project_names_and_what_that_requires() -> None:
    packages = runtime_closure()
    assert {name for name, _ in own_requirements()} <= set(packages)
    assert {"anyio", "h11", "markupsafe"} <= set(packages)
    assert all(set(package.requires) <= set(packages) for package in packages.values())


def test_the_lock_file_is_whole() -> None:
    lock = LOCK.read_text(encoding="utf-8")
    assert lock_faults(runtime_closure(), lock, (ROOT / "constraints.txt").read_text(encoding="utf-8")) == []
    assert not any(comes_with_torch(name) for name in entries(lock))
