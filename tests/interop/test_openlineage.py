"""Events as real producers sent them, and the specification's own examples of facets, are read without complaint."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from graph.importers.openlineage.events import read_event
from graph.importers.openlineage.fold import folded
from graph.model import Flow
from tests.openlineage import dataset, run_event

ROOT = Path(__file__).parents[2]
EXAMPLES = Path(os.environ.get("HEADWATER_TEST_OPENLINEAGE", ROOT.parent / "shared/data/openlineage"))
EVENTS = sorted((EXAMPLES / "producer-events").glob("*.json"))
FACETS = sorted((EXAMPLES / "spec/tests").glob("*/*.json"))

if not EVENTS or not FACETS:
    missing = f"there are no examples in {EXAMPLES}; HEADWATER_TEST_OPENLINEAGE names another folder"
    if os.environ.get("CI"):  # elsewhere nobody need have them
        pytest.fail(missing)
    pytest.skip(missing, allow_module_level=True)


@pytest.mark.parametrize("file", EVENTS, ids=[file.stem for file in EVENTS])
def test_what_a_producer_sent_is_read(file: Path) -> None:
    found = json.loads(file.read_text(encoding="utf-8"))
    for event in found if isinstance(found, list) else [found]:
        complete: dict[str, Any] = {**run_event("COMPLETE", 1), **event}  # the files leave out what differs by run
        complete["run"] = {**complete["run"], "runId": run_event("COMPLETE", 1)["run"]["runId"]}
        said = folded([read_event(complete)])
        lineage = [
            each for each in event.get("outputs", ()) if each.get("facets", {}).get("columnLineage", {}).get("fields")
        ]
        assert any(isinstance(subject, Flow) and subject.via is not None for subject in said) or not lineage


@pytest.mark.parametrize("file", FACETS, ids=[f"{file.parent.name}-{file.stem}" for file in FACETS])
def test_the_examples_of_facets_are_read(file: Path) -> None:
    facets = json.loads(file.read_text(encoding="utf-8"))
    for event in (run_event("COMPLETE", 1, outputs=[dataset("totals", **facets)]), run_event("COMPLETE", 1, **facets)):
        assert folded([read_event(event)])
