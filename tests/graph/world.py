"""A store and an index that follows it, with short words for registering and asking."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeAlias

from graph.changes import AssetStatement, FlowStatement, Receipt, Registration, Withdrawal
from graph.impact import When, when_felt
from graph.index import LineageIndex
from graph.keys import AssetKey
from graph.model import Basis, Flow, Operation, checked_flow
from graph.plan import register
from graph.stores.sqlite import SqliteStore
from graph.topology import Moment
from graph.walk import Direction, FlowFilter, Follow, Lineage, walk

Statement: TypeAlias = AssetKey | Flow | AssetStatement | FlowStatement | Withdrawal

START = 1_000
"""The world's clock at first, in microseconds since 1970."""


def k(text: str) -> AssetKey:
    return AssetKey.parse(text)


def flow(source: str, target: str, via: str | None = None) -> Flow:
    return checked_flow(k(source), k(target), k(via) if via else None)


class World:
    def __init__(self, folder: Path) -> None:
        self.store = SqliteStore(folder / "headwater.db")
        self.index = LineageIndex(self.store)
        self.index.load()
        self.now = START

    def register(
        self,
        *said: Statement,
        origin: str = "test",
        basis: Basis = Basis.OBSERVED,
        complete: bool = False,
        stubs: bool = True,
        id: str | None = None,
    ) -> Receipt:
        """Registers at `self.now`; flows may end anywhere unless `stubs` is false."""
        return self.commit(registration(said, origin, basis, complete, stubs), id)

    def commit(self, wanted: Registration, id: str | None = None) -> Receipt:
        done = register(self.store, wanted, Operation(id, wanted.digest(), "tester"), self.now)
        self.index.follow()
        return done

    def moment(self, at: int | None = None, revision: int | None = None) -> Moment:
        return Moment(self.now if at is None else at, self.store.head() if revision is None else revision)

    def walk(
        self,
        start: str,
        direction: Direction = Direction.DOWNSTREAM,
        follow: Follow = Follow.VALUES,
        at: int | None = None,
        revision: int | None = None,
        flows: FlowFilter | None = None,
        depth: int | None = None,
    ) -> Lineage:
        return walk(self.index.view(), k(start), direction, self.moment(at, revision), follow, flows, depth)

    def downstream(self, start: str, follow: Follow = Follow.VALUES, at: int | None = None) -> set[str]:
        return set(map(str, self.walk(start, follow=follow, at=at).keys()))

    def upstream(self, start: str, follow: Follow = Follow.VALUES, at: int | None = None) -> set[str]:
        return set(map(str, self.walk(start, Direction.UPSTREAM, follow, at).keys()))

    def partly(self, start: str, follow: Follow = Follow.VALUES) -> set[str]:
        lineage = self.walk(start, follow=follow)
        return {str(key) for key, partly in zip(lineage.keys(), lineage.partly.tolist(), strict=True) if partly}

    def when(self, start: str, direction: Direction = Direction.DOWNSTREAM) -> dict[str, When]:
        lineage = self.walk(start, direction)
        felt = when_felt(lineage)
        return {str(key): When(code) for key, code in zip(lineage.keys(), felt.tolist(), strict=True)}

    def close(self) -> None:
        self.store.close()


def registration(
    said: Iterable[Statement], origin: str, basis: Basis, complete: bool = False, stubs: bool = True
) -> Registration:
    assets: list[AssetStatement] = []
    flows: list[FlowStatement] = []
    withdrawals: list[Withdrawal] = []
    for each in said:
        if isinstance(each, Withdrawal):
            withdrawals.append(each)
        elif isinstance(each, Flow | FlowStatement):
            flows.append(FlowStatement(each) if isinstance(each, Flow) else each)
        else:
            assets.append(AssetStatement(each) if isinstance(each, AssetKey) else each)
    return Registration(origin, basis, tuple(assets), tuple(flows), tuple(withdrawals), complete, stubs)


class _Interrupted:
    def __init__(self, lock: AbstractContextManager[bool], nth: int, happens: Callable[[], object]) -> None:
        self._lock, self._left, self._happens = lock, nth, happens

    def __enter__(self) -> None:
        self._turn()
        self._lock.__enter__()

    def __exit__(self, *error: object) -> None:
        self._lock.__exit__(None, None, None)
        self._turn()

    def _turn(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._happens()


@contextmanager
def interrupted(index: LineageIndex, nth: int, happens: Callable[[], object]) -> Iterator[None]:
    """Something that another thread might do happens at the `nth` time that the lock of `index` is to be taken or was released."""
    lock = index.changing
    index.changing = _Interrupted(lock, nth, happens)  # type: ignore[assignment]
    yield
    index.changing = lock
