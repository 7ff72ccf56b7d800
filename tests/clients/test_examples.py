"""Every public function of the client has an example, and each does what it says, against a real service."""

import asyncio
import doctest
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import headwater
import pytest
from headwater import Client

from tests.clients.small_graph import small_graph


def public() -> dict[str, Any]:
    """All that `from headwater import …` gives but errors, and the methods of those classes: of AsyncClient those of Client."""
    found: dict[str, Any] = {}
    for name in headwater.__all__:
        thing = getattr(headwater, name)
        if inspect.isclass(thing) and issubclass(thing, Exception):
            continue
        found[name] = thing
        if inspect.isclass(thing) and thing is not headwater.AsyncClient:
            for method, function in inspect.getmembers(thing, inspect.isfunction):
                if not method.startswith("_") and function.__module__.startswith("headwater."):
                    found[f"{name}.{method}"] = function
    return found


EXAMPLES = public()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with small_graph(tmp_path_factory.mktemp("small_graph")) as url:
        yield url


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_holds(url: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_SPOOL", str(tmp_path / "spool"))
    thing = EXAMPLES[name]
    with Client(url) as client:
        known: dict[str, Any] = {
            **vars(headwater),
            "client": client,
            "url": url,
            "folder": tmp_path,
            "asyncio": asyncio,
        }
        text = thing.__doc__ or ""
        test = doctest.DocTestParser().get_doctest(text, known, name, None, 0)
        assert test.examples, f"{name} has no example"
        told: list[str] = []
        doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=told.append)
        assert told == [], "".join(told)
