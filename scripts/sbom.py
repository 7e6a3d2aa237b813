"""The software bill of materials: what a running fastvideo consists of, as CycloneDX JSON."""

from __future__ import annotations

import json
import tomllib

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from scripts.runtime_closure import ROOT, own_requirements, runtime_closure

FILE = ROOT / "sbom.cdx.json"


def bill() -> str:
    """The bill's JSON, without times and random ids: the same packages give the same text."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    packages = runtime_closure()
    components = {
        package.name: _component(package.name, package.version, package.licence) for package in packages.values()
    }
    root = _component(project["name"], project["version"], project["license"], ComponentType.APPLICATION)
    bom = Bom(components=components.values())
    bom.metadata.component = root
    bom.register_dependency(root, [components[name] for name in sorted({name for name, _ in own_requirements()})])
    for name, package in packages.items():
        bom.register_dependency(components[name], [components[other] for other in package.requires])
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    # A bill that is compared has no date and no number of its own.
    document.pop("serialNumber", None)
    document["metadata"].pop("timestamp", None)
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def _component(name: str, version: str, licence: str, kind: ComponentType = ComponentType.LIBRARY) -> Component:
    url = PackageURL("pypi", name=name, version=version)
    return Component(
        name=name,
        version=version,
        type=kind,
        purl=url,
        bom_ref=str(url),
        licenses=[DisjunctiveLicense(name=licence)] if licence else [],
    )
