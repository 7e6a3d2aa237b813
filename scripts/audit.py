"""Audit what a running fastvideo is made of: the lock, the bill of materials, licences, and known vulnerabilities.

The index's list of vulnerabilities is asked for over the network; where that cannot be, the audit says so.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys

from packaging.utils import canonicalize_name

from scripts import sbom
from scripts.lock import LOCK, entries
from scripts.runtime_closure import ROOT, Package, comes_with_torch, runtime_closure

# Licences under which packages may be used and passed on beside Apache-2.0 code, as packages write them.
_ALLOWED = re.compile(
    r"0BSD|Apache([- ]2\.0( License)?| Software License)|BSD( License|-2-Clause|-3-Clause)|BSL-1\.0|CC0-1\.0"
    r"|ISC License \(ISCL\)|LLVM-exception|MIT( License|-CMU)?|MPL-2\.0|Mozilla Public License 2\.0 \(MPL 2\.0\)"
    r"|CNRI-Python|PSF-2\.0|Zlib"
)
_TIMEOUT_S = 120


def lock_faults(packages: dict[str, Package], lock: str, constraints: str) -> list[str]:
    """What is wrong with the lock file: packages that it lacks, has in another version than was tested, or unhashed."""
    locked = entries(lock)
    pins = (line.partition("==") for line in constraints.splitlines() if "==" in line)
    tested = {canonicalize_name(name): version for name, _, version in pins}
    faults = []
    for package in packages.values():
        if comes_with_torch(package.name):
            continue
        if package.name not in locked:
            faults.append(f"{package.name} is required and not in {LOCK.name}")
        elif locked[package.name][0] != package.version:
            faults.append(f"{package.name} is {locked[package.name][0]} in {LOCK.name} and {package.version} here")
    for name, (version, text) in locked.items():
        if "--hash=sha256:" not in text:
            faults.append(f"{name} has no hash in {LOCK.name}")
        if tested.get(canonicalize_name(name), version) != version:
            faults.append(
                f"{name} is {version} in {LOCK.name} and {tested[canonicalize_name(name)]} in constraints.txt"
            )
    return faults


def licence_faults(packages: dict[str, Package]) -> list[str]:
    """Packages whose licence, as they state it, is not one of those that are allowed."""
    faults = []
    for package in packages.values():
        terms = re.split(r" (?:AND|OR|WITH) ", package.licence)
        if not all(_ALLOWED.fullmatch(term) for term in terms):
            name = f"{package.name} {package.version}"
            faults.append(f"{name} states the licence {package.licence!r}, which is not on the list")
    return faults


def vulnerabilities() -> tuple[list[str], int]:
    """Known vulnerabilities of what is locked, and of how many packages nothing could be found out."""
    options = ["--require-hashes", "--disable-pip", "--format", "json", "--progress-spinner", "off", "--timeout", "10"]
    command = [sys.executable, "-m", "pip_audit", "-r", str(LOCK), *options]
    answer = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_TIMEOUT_S)
    try:
        found = json.loads(answer.stdout)["dependencies"]
    except (ValueError, KeyError):
        print(f"audit: nobody could be asked: {answer.stderr.strip().rpartition(chr(10))[2]}", file=sys.stderr)
        return [], len(entries(LOCK.read_text(encoding="utf-8")))
    known = [
        f"{package['name']} {package['version']}: {one['id']}, fixed in {', '.join(one['fix_versions']) or 'nothing'}"
        for package in found
        for one in package.get("vulns", ())
    ]
    return known, sum("skip_reason" in package for package in found)


def main() -> int:
    packages = runtime_closure()
    lock = LOCK.read_text(encoding="utf-8")
    faults = lock_faults(packages, lock, (ROOT / "constraints.txt").read_text(encoding="utf-8"))
    faults += licence_faults(packages)
    if sbom.bill() != sbom.FILE.read_text(encoding="utf-8"):
        faults.append(f"{sbom.FILE.name} does not list what is installed here")
    if faults:
        faults.append("scripts/lock writes the lock and the bill of materials anew")
    known, unasked = vulnerabilities()
    asked = len(entries(lock)) - unasked
    print(f"audit: {len(packages)} packages, {len(known)} known vulnerabilities in {asked}; {unasked} not asked about")
    for fault in faults + known:
        print(f"audit: {fault}", file=sys.stderr)
    return 1 if faults or known else 0


if __name__ == "__main__":
    sys.exit(main())
