"""How answers look: what is said, what is left out, and that nothing in it is more than text."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from headwater import Client, Lineage
from headwater.schema.enums import Direction
from headwater.schema.get_lineage import GetLineageLineageLineage

from tests.clients.small_graph import AMOUNT, CONSUMER, DEPLOYMENT, small_graph

HOSTILE = "<script>alert(1)</script>\"'&\x1b[31m"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("small_graph")
    with small_graph(folder) as url, Client(url) as client:
        yield client


def lineage(count: int, names: str = "name", complete: bool = True) -> Lineage:
    answer = {
        "__typename": "Lineage",
        "revision": 7,
        "at": datetime(2026, 1, 1, tzinfo=UTC),
        "start": {"__typename": "Column", "id": "column:w/t#a", "title": names},
        "complete": complete,
        "incompleteReason": None if complete else "DEPTH",
        "total": count,
        "unidentified": {"calls": 3},
        "columns": {
            "key": [f"consumer:shop/{names}{n}" for n in range(count)],
            "kind": ["consumer"] * count,
            "namespace": [names] * count,
            "title": [f"{names}{n}" for n in range(count)],
            "hops": [1 + n % 12 for n in range(count)],
            "when": ["NOW"] * count,
            "partly": [False] * count,
            "stub": [False] * count,
            "owners": [[names]] * count,
            "tags": [[]] * count,
            "tier": [None] * count,
        },
        "arrows": {"source": [-1] * count, "target": [*range(count)], "timing": ["live"] * count},
    }
    return Lineage(GetLineageLineageLineage.model_validate(answer), Direction.DOWNSTREAM)


def test_an_answer_says_how_it_was_made(client: Client) -> None:
    whole, cut = client.impact(AMOUNT), client.impact(AMOUNT, depth=1)
    assert re.match(r"downstream of amount; \d+ assets; .* now; .*complete \(revision \d+, at 20", repr(whole))
    assert "cut off by depth: there is more" in repr(cut)
    assert "3 calls by callers that could not be told" in repr(lineage(1))
    assert "checkout" in whole._repr_html_()
    assert "payments#amount → mean_30d → scores → checkout" in map(str, client.paths(AMOUNT, CONSUMER, first=5))


def test_rows_are_filtered_and_become_frames(client: Client) -> None:
    reached = client.impact(AMOUNT)
    some = reached.filter(kind=["deployment", "CONSUMER"], when="now")
    assert some.keys() == [DEPLOYMENT, CONSUMER]
    assert (some.revision, some.total) == (reached.revision, reached.total)
    assert reached[:1].keys() == reached.keys()[:1]
    frame = some.to_pandas()
    assert list(frame["key"]) == some.keys()
    empty = reached.filter(title="nothing").to_pandas()
    assert isinstance(empty, pd.DataFrame)
    assert list(empty.columns) == list(frame.columns)


def test_what_others_named_is_text_alone() -> None:
    shown = lineage(5, HOSTILE)._repr_html_()
    tree = ET.fromstring(shown)
    tags = "div svg g title rect text path table thead tbody tr th td"
    assert {each.tag.rpartition("}")[2] for each in tree.iter()} <= {*tags.split()}
    assert not any(name.startswith("on") for each in tree.iter() for name in each.attrib)
    assert "\x1b" not in shown + repr(lineage(5, HOSTILE))


@pytest.mark.parametrize("count", [0, 1, 100, 20_000])
def test_it_stays_small_and_says_what_is_left_out(count: int) -> None:
    shown = lineage(count)._repr_html_()
    assert len(shown) < 100_000
    ET.fromstring(shown)
    drawn = shown.count("<rect") // 2
    if count > 1:
        assert f"{count + 1 - drawn:,} of {count + 1:,} assets are not drawn" in shown
        assert f"and {count - 25:,} more rows" in shown


def test_a_notebook_shows_the_graph(client: Client, tmp_path: Path) -> None:
    from IPython.core import formatters

    shown, _ = formatters.DisplayFormatter().format(client.impact(AMOUNT))  # type: ignore[no-untyped-call]
    assert "<svg" in shown["text/html"]
