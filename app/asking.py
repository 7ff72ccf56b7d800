"""A question about lineage and its answer, as transports see them: walked, counted and shaped off the event loop.

Every step is a piece of work of its own, so that whoever leaves stops what would follow.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import TypeVar

from app.service import LARGE, Headwater, When
from graph.errors import InvalidInput
from graph.impact import all_historic, felt_at, when_felt
from graph.keys import AssetKey
from graph.outlook import is_there
from graph.simulation import Simulation
from graph.summary import Table, table
from graph.time import Instant
from graph.topology import Ints, Moment, View
from graph.walk import AssetFilter, Direction, FlowFilter, Follow, Lineage, Met, selected, walk

T = TypeVar("T")

_MOST = 8
"""From this share of all assets on, what is history is found for the whole graph while the walk still goes on."""


@dataclass(frozen=True)
class Question:
    start: AssetKey
    direction: Direction
    follow: Follow = Follow.VALUES
    flows: FlowFilter = field(default_factory=FlowFilter)
    select: AssetFilter = field(default_factory=AssetFilter)
    depth: int | None = None


class Answer:
    """A walk's result, and what is computed from it, each once and only when somebody asks."""

    def __init__(
        self,
        headwater: Headwater,
        question: Question,
        lineage: Lineage,
        rows: Ints,
        felt_at: Future[Ints] | None = None,
    ) -> None:
        self.headwater, self.question, self.lineage, self.rows = headwater, question, lineage, rows
        self.large = len(lineage) >= LARGE
        self._felt_at = felt_at
        self._felt: asyncio.Task[Ints] | None = None

    async def as_of(self, moment: Moment) -> "Answer":
        """The same question's answer of that moment. Raises as `ask`."""
        if self.lineage.moment == moment:
            return self
        return await ask(self.headwater, self.question, When(at=moment.at, known_at_revision=moment.revision))

    def is_planned(self, key: AssetKey) -> bool:
        """Whether an asset of the answer is not there yet."""
        return False

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        """Off the event loop, among work of its size."""
        run = self.headwater.in_long_thread if self.large else self.headwater.in_thread
        return await run(work, *arguments)

    def pieces(self, made: Iterator[bytes]) -> AsyncIterator[bytes]:
        return self.headwater.in_pieces(made, self.large)

    async def felt(self) -> Ints:
        """When each row of the lineage is felt."""
        if self._felt is None:
            self._felt = asyncio.ensure_future(self._when_felt())
        return await self._felt

    async def _when_felt(self) -> Ints:
        if self._felt_at is None:
            return await self.run(when_felt, self.lineage)
        begun: Ints = await asyncio.wrap_future(self._felt_at)
        return await self.run(when_felt, self.lineage, begun)

    async def table(self) -> Table:
        return await self.run(table, self.lineage, self.rows, await self.felt())


class Simulated(Answer):
    """An answer of a graph that would be. It is gone with the request."""

    def __init__(
        self, headwater: Headwater, question: Question, simulation: Simulation, view: View, at: Instant
    ) -> None:
        self._today = simulation.today
        super().__init__(headwater, question, *walked(question, view, Moment(at, simulation.revision)))

    async def as_of(self, moment: Moment) -> Answer:
        if moment.revision != self.lineage.moment.revision:
            raise InvalidInput(
                f"the page before is of revision {moment.revision}, and the plan is simulated at"
                f" {self.lineage.moment.revision} by now: ask from the first page on, or for larger pages"
            )
        return self

    def is_planned(self, key: AssetKey) -> bool:
        return not is_there(self._today, key, self.lineage.moment)


async def ask(
    headwater: Headwater, question: Question, asked: When, wants_felt: Callable[[], bool] = lambda: True
) -> Answer:
    """Raises NotFound, RevisionUnavailable, NotReady.

    `wants_felt`: whether somebody will ask when it is felt. For a large answer that is begun beside the walk.
    """
    view, at = await headwater.moment(asked)
    reach = (question.start, question.direction, question.depth)
    async with headwater.sizes.expected(reach) as expected:
        run = headwater.in_long_thread if expected >= LARGE else headwater.in_thread
        of_most = expected >= max(LARGE, view.assets // _MOST) and wants_felt()
        historic = headwater.beside(all_historic, view, at) if of_most else None
        begun: list[Future[Ints]] = []

        def meeting(met: Met) -> None:
            if len(met.vertices) >= LARGE and wants_felt():
                begun.append(headwater.beside(felt_at, met, historic and historic.result))

        lineage, rows = await run(walked, question, view, at, meeting)
        headwater.sizes.found(reach, len(lineage))
    if len(lineage) >= LARGE:
        headwater.later(view.remember, at)
    return Answer(headwater, replace(question, start=lineage.start), lineage, rows, begun[0] if begun else None)


def walked(
    question: Question, view: View, at: Moment, meeting: Callable[[Met], None] | None = None
) -> tuple[Lineage, Ints]:
    lineage = walk(
        view, question.start, question.direction, at, question.follow, question.flows, question.depth, meeting
    )
    return lineage, selected(lineage, question.select)
