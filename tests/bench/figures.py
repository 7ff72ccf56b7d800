"""What a measurement says: a row of the table, and how rows are measured, compared and printed.

A module of measurements has one function, found by its name and called with a folder for its files:

    def figures(folder: Path, ...) -> Iterator[Figure]
"""

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One thing measured several times in one run. Absolute values are one machine's; ratios (unit `x`) travel."""

    what: str
    values: Sequence[float]
    unit: str

    @property
    def least(self) -> float:
        return min(self.values)

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def most(self) -> float:
        return max(self.values)


def measured(work: Callable[[], object], times: int, clock: Callable[[], float] = time.perf_counter) -> list[float]:
    """Seconds of each turn by `clock`; `time.thread_time` counts what the work cost, not how long it waited for a core."""
    taken = []
    for _ in range(times):
        begin = clock()
        work()
        taken.append(clock() - begin)
    return taken


def scaled(values: Sequence[float], factor: float) -> list[float]:
    return [value * factor for value in values]


def ratio(what: str, above: Sequence[float], below: Sequence[float]) -> Figure:
    """Turn by turn: both sides of a turn were measured one after the other, so what slows the machine slows both."""
    return Figure(what, [a / b for a, b in zip(above, below, strict=True)], "x")


def lines(figures: Iterable[Figure]) -> Iterator[str]:
    """The table for a terminal, each row as soon as it is known. `a: b` and `a: c` come under one head, a."""
    yield f"{'':<64} {'minimum':>11} {'median':>11} {'maximum':>11}"
    head = ""
    for figure in figures:
        first, _, rest = figure.what.rpartition(": ")
        if first != head:
            head = first
            yield f"\n{head}"
        numbers = " ".join(f"{_number(value):>11}" for value in (figure.least, figure.median, figure.most))
        yield f"  {rest:<62} {numbers}  {figure.unit}"


def markdown(figures: Iterable[Figure]) -> Iterator[str]:
    """The table for docs/benchmarks.md."""
    yield "| | minimum | median | maximum | |"
    yield "|---|---:|---:|---:|---|"
    head = ""
    for figure in figures:
        first, _, rest = figure.what.rpartition(": ")
        if first != head:
            head = first
            yield f"| **{head}** | | | | |"
        numbers = " | ".join(_number(value) for value in (figure.least, figure.median, figure.most))
        yield f"| {rest} | {numbers} | {figure.unit} |"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
