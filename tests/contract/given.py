"""What the tests of the contract speak of, and how they ask many things at once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

from graph.keys import AssetKey
from graph.time import DAY as A_DAY
from graph.usage import Usage
from tests.saying import flow, key

ORDERS, AMOUNT, DAY = (
    key("dataset:warehouse/orders"),
    key("column:warehouse/orders#amount"),
    key("column:warehouse/orders#day"),
)
REPORT, SCORES = key("consumer:bi/report"), key("deployment:risk/scores")
READS = flow("column:warehouse/orders#amount", "consumer:bi/report")
WRITERS = 16

T = TypeVar("T")


def used(
    calls: int,
    *,
    day: int = 20_000,
    first: int = 10,
    last: int = 20,
    reader: AssetKey | None = REPORT,
    verified: bool = True,
    errors: int = 0,
    source: AssetKey = SCORES,
) -> Usage:
    """`first` and `last` count from the start of `day`."""
    start = day * A_DAY
    return Usage(source, reader, verified, day, calls, errors, start + first, start + last)


def at_once(work: Callable[[int], T]) -> list[T]:
    start = Barrier(WRITERS)

    def run(writer: int) -> T:
        start.wait()
        return work(writer)

    with ThreadPoolExecutor(WRITERS) as pool:
        return list(pool.map(run, range(WRITERS)))
