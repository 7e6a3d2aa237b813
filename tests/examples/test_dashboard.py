"""The Grafana dashboard and the documents' tables fit what servers and routers count."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from fastvideo.entrypoints.streaming.metrics import Metrics
from fastvideo.entrypoints.streaming.router.metrics import RouterMetrics

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD: dict[str, Any] = json.loads((ROOT / "examples" / "grafana" / "fastvideo.json").read_text(encoding="utf-8"))
# What Prometheus adds to everything that it reads.
TARGET_LABELS = {"instance", "job"}
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


def registered() -> dict[str, tuple[str, set[str]]]:
    """Each metric that is counted: its name as one sees it, its kind, its labels."""
    registries: list[CollectorRegistry] = [Metrics()._registry, RouterMetrics()._registry]
    found = {}
    for registry in registries:
        for collector in registry._collector_to_names:
            name = collector._name + ("_total" if collector._type == "counter" else "")
            found[name] = (collector._type, set(collector._labelnames))
    return found


def series() -> dict[str, set[str]]:
    """The labels of each series that queries can ask for."""
    found = {}
    for name, (kind, labels) in registered().items():
        for suffix in SUFFIXES[kind]:
            extra = {"le"} if suffix == "_bucket" else set()
            found[name.removesuffix("_total") + suffix] = labels | extra | TARGET_LABELS
    return found


def panels() -> Iterator[dict[str, Any]]:
    for panel in DASHBOARD["panels"]:
        if panel["type"] != "row":
            yield panel


def names(query: str) -> set[str]:
    return set(re.findall(r"\bfastvideo_\w+", query))


def labels_used(query: str) -> set[str]:
    selected = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", query)
    grouped = [label for group in re.findall(r"\bby \(([^)]*)\)", query) for label in re.split(r",\s*", group)]
    return {*selected, *grouped}


QUERIES = [(panel["title"], target) for panel in panels() for target in panel["targets"]]


@pytest.mark.parametrize(("title", "target"), QUERIES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_query_asks_for_series_and_labels_that_there_are(title: str, target: dict[str, Any]) -> None:
    asked = names(target["expr"])
    assert asked, title
    for name in asked:
        assert name in series(), f"{title}: {name} is counted nowhere"
        assert labels_used(target["expr"]) <= series()[name], title
    grouped = re.search(r"\bby \(([^)]*)\)", target["expr"])
    shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
    assert shown <= set(re.split(r",\s*", grouped[1]) if grouped else ()), f"{title}: a legend of what was summed away"


def test_the_check_finds_names_and_labels_that_are_wrong() -> None:
    assert names("sum(rate(fastvideo_nothing_total[5m]))") == {"fastvideo_nothing_total"}
    assert labels_used('sum by (le, stage) (rate(x{instance=~"a",kind!="b"}[5m]))') == {
        "le",
        "stage",
        "instance",
        "kind",
    }


def test_every_metric_is_on_the_dashboard() -> None:
    shown = set().union(*(names(target["expr"]) for _, target in QUERIES))
    for name, (kind, _) in registered().items():
        assert any(name.removesuffix("_total") + suffix in shown for suffix in SUFFIXES[kind]), name


def test_the_dashboard_names_a_data_source_that_its_viewer_chooses_and_its_panels_do_not_overlap() -> None:
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["query"] == "prometheus"
    assert names(variables["instance"]["definition"]) <= series().keys()
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert place["x"] + place["w"] <= 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells
    assert {panel["datasource"]["uid"] for panel in panels()} == {"${datasource}"}
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)


def test_the_documents_list_every_metric_with_its_kind_and_labels() -> None:
    text = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(fastvideo_\w+)` \| (\w+) \|([^|]*)\|", text, re.MULTILINE)
    told = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    assert told == registered()
