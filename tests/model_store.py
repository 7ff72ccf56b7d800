"""A store so simple that it is right by inspection: lists, searched from end to end. The other stores are held to it."""

import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

import numpy as np

from graph.attributes import canonical, shown_attributes, values
from graph.changes import Changes, Receipt
from graph.errors import OperationReused, PlanOutdated, StaleVersion, StoreUnavailable
from graph.keys import AssetKey, AssetKind
from graph.messages import Delivery, Message
from graph.model import REFINES_FIRST, Assertion, Flow, Known, Operation, StoredAssertion, Subject
from graph.plan import receipt
from graph.sources import MOST_REJECTED, Heard, Rejected, Unmended
from graph.stores.contract import (
    AssertionColumns,
    AssetColumns,
    EventPlace,
    KeptEvent,
    Listener,
    Plan,
    Revision,
    SearchHit,
    SeenSpans,
    ToldSpans,
)
from graph.stores.words import search_text, words
from graph.time import FOREVER, Instant
from graph.usage import KEPT_DAYS, Day, Usage, all_latency, day_of


class ModelStore:
    commits_at_once = 1

    def __init__(self) -> None:
        self.rows: list[StoredAssertion] = []
        self.revisions: list[Revision] = []
        self.operations: dict[str, tuple[str, Receipt, Instant]] = {}
        self.usages: list[Usage] = []
        self.seen: list[SeenSpans] = []
        self.told: list[ToldSpans] = []
        self.counters: dict[str, int] = {}
        self.messages: dict[str, _Kept] = {}
        self.events: dict[str, KeptEvent] = {}
        self.keepers: dict[str, str] = {}
        self.whole: dict[str, Instant] = {}
        self.last_heard: dict[tuple[Subject, str], Instant] = {}
        self.waiting: set[str] = set()
        self.heard_of: dict[tuple[str, Day], Heard] = {}
        self.refused: dict[str, Rejected] = {}
        self.now: Instant = 0
        self.lock = threading.RLock()
        self.closed = False
        self.listener: Listener = lambda _: None

    def commit(self, changes: Changes | Plan, operation: Operation, now: Instant) -> Receipt:
        with self.lock:
            done = self.receipt_of(operation)
            if done is not None:
                return done
            if not isinstance(changes, Changes):
                changes = changes.changes(self)
            for key, version in changes.expected_versions.items():
                current = self.versions([key]).get(key, 0)
                if current != version:
                    raise StaleVersion(key, version, current)
            for change in changes.changes:
                said = self.believed([change.subject]).get(change.subject, ())
                if tuple(each for each in said if each.origin == change.origin) != change.before:
                    raise PlanOutdated(str(change.subject))
            answer = receipt(changes, self.head() + bool(changes), now)
            self.now = max(self.now, now)
            if changes:
                self._write(changes, operation, now, answer.revision)
                with suppress(Exception):
                    self.listener(self.changes_since(answer.revision - 1))
            if operation.id is not None:
                self.operations[operation.id] = operation.digest, answer, now
            return answer

    def announce_to(self, listener: Listener) -> None:
        self.listener = listener

    def _write(self, changes: Changes, operation: Operation, now: Instant, number: int) -> None:
        opened, closed = [], []
        for change in changes.changes:
            for span in change.closes:
                row = next(row for row in self.rows if row.assertion == span and row.known.last == FOREVER)
                closed.append(replace(row, known=Known(row.known.first, number)))
                self.rows[row.number - 1] = closed[-1]
            for span in change.opens:
                opened.append(StoredAssertion(len(self.rows) + 1, span, Known(number)))
                self.rows.append(opened[-1])
        at = max(now, self.revisions[-1].at if self.revisions else now)
        self.revisions.append(Revision(number, at, operation.id, operation.actor, tuple(opened), tuple(closed)))
        for message in changes.messages:
            self.messages.setdefault(message.id, _Kept(message, at, now))

    def receipt_of(self, operation: Operation) -> Receipt | None:
        self._refuse_closed()
        if operation.id is None or operation.id not in self.operations:
            return None
        digest, answer, _ = self.operations[operation.id]
        if digest != operation.digest:
            raise OperationReused(operation.id)
        return answer

    def head(self) -> int:
        self._refuse_closed()
        return len(self.revisions)

    def believed(self, subjects: Collection[Subject]) -> Mapping[Subject, tuple[Assertion, ...]]:
        found = self.believed_at(subjects, self.head())
        return {subject: tuple(row.assertion for row in rows) for subject, rows in found.items()}

    def believed_at(
        self, subjects: Collection[Subject], revision: int
    ) -> Mapping[Subject, tuple[StoredAssertion, ...]]:
        wanted = set(subjects)
        return _grouped(r for r in self.rows if r.known.holds_at(revision) and r.assertion.subject in wanted)

    def believed_by(self, origin: str) -> Mapping[Subject, tuple[Assertion, ...]]:
        found = _grouped(row for row in self._open() if row.assertion.origin == origin)
        return {subject: tuple(row.assertion for row in rows) for subject, rows in found.items()}

    def touching(self, keys: Collection[AssetKey]) -> Collection[Subject]:
        return {
            subject
            for subject in {row.assertion.subject for row in self._open()}
            if (
                subject.container in keys and subject not in keys
                if isinstance(subject, AssetKey)
                else _at(subject, keys)
            )
        }

    def versions(self, keys: Collection[AssetKey]) -> Mapping[AssetKey, int]:
        changed = {row.assertion.subject: revision.number for revision in self.revisions for row in _rows_of(revision)}
        return {key: changed[key] for key in keys if key in changed}

    def changes_since(self, revision: int, limit: int = 1000) -> list[Revision]:
        later = [each for each in self._revisions() if each.number > revision][:limit]
        return [replace(each, said=self._said(each)) for each in later]

    def history(self, key: AssetKey, before: int | None = None, limit: int = 50) -> list[Revision]:
        def about(rows: Iterable[StoredAssertion]) -> tuple[StoredAssertion, ...]:
            return tuple(row for row in rows if key in _ends(row.assertion.subject))

        cut = [replace(r, opened=about(r.opened), closed=about(r.closed)) for r in self._revisions()]
        earlier = [r for r in cut if _rows_of(r) and (before is None or r.number < before)]
        return earlier[::-1][:limit]

    def stamp(self, revision: int) -> str | None:
        told = [each for each in self.revisions if each.number == revision]
        return f"{told[0].at} {told[0].actor} {told[0].operation}" if told else None

    def revision_at(self, moment: Instant) -> int:
        return max((revision.number for revision in self.revisions if revision.at <= moment), default=0)

    def keys(
        self, at: Instant, kinds: Collection[AssetKind] = (), after: AssetKey | None = None, limit: int = 100
    ) -> list[AssetKey]:
        said = {row.assertion.subject for row in self._open() if row.assertion.valid.holds_at(at)}
        keys = (each for each in said if isinstance(each, AssetKey) and not each.is_alias)
        listed = sorted((key for key in keys if not kinds or key.kind in kinds), key=str)
        return [key for key in listed if after is None or str(key) > str(after)][:limit]

    def search(self, text: str, kinds: Collection[AssetKind] = (), limit: int = 20, offset: int = 0) -> list[SearchHit]:
        wanted = words(text)
        hits = [
            SearchHit(key, 1.0)
            for key in self.keys(self.now, kinds, limit=FOREVER)
            if wanted and all(any(word.startswith(each) for word in self._words(key)) for each in wanted)
        ]
        return hits[offset : offset + limit]

    def _words(self, key: AssetKey) -> list[str]:
        said = self.believed([key])[key]
        return search_text(key, values(shown_attributes(said, self.now))).split()

    @contextmanager
    def export(self) -> Iterator["ModelExport"]:
        yield ModelExport(self.head(), [*self.rows])

    def settle(self, now: Instant) -> int:
        self.now = max(self.now, now)
        return 0

    def forget_operations(self, before: Instant, now: Instant) -> int:
        kept = {name: kept for name, kept in self.operations.items() if kept[2] >= before}
        forgotten, self.operations = len(self.operations) - len(kept), kept
        due = {id_: each for id_, each in self.messages.items() if each.due is not None or each.committed >= before}
        self.messages = due
        oldest = day_of(now) - KEPT_DAYS
        self.usages = [usage for usage in self.usages if usage.day >= oldest]
        self.heard_of = {place: heard for place, heard in self.heard_of.items() if heard.day >= oldest}
        self.refused = {id_: each for id_, each in self.refused.items() if each.last >= before}
        return forgotten

    def count(self, usages: Collection[Usage], counter: str, sequence: int) -> bool:
        if self.counters.get(counter, sequence - 1) >= sequence:
            return False
        self.counters[counter] = sequence
        self.usages += usages
        return True

    def count_spans(self, usages: Collection[Usage], counter: str, sequence: int, told: ToldSpans) -> list[SeenSpans]:
        if self.counters.get(counter, sequence - 1) >= sequence:
            return []
        others = [each for each in self.seen if each.number > told.after]
        if not others:
            self.count(usages, counter, sequence)
            for number, (minute, ids) in enumerate(sorted(told.seen.items()), told.after + 1):
                self.seen.append(SeenSpans(number, minute, ids))
            self.told.append(told)
        return others

    def seen_spans(self, minutes: Collection[int]) -> list[SeenSpans]:
        return [each for each in self.seen if each.minute in minutes]

    def last_seen_spans(self) -> int:
        return max((each.number for each in self.seen), default=0)

    def links(self, recorder: str, since: Instant) -> list[bytes]:
        return [each.links for each in self.told if each.recorder == recorder and each.at >= since and each.links]

    def forget_spans(self, minute: int, links: Instant, now: Instant) -> int:
        had = len(self.seen) + len(self.told)
        self.seen = [each for each in self.seen if each.minute >= minute or each.number == self.last_seen_spans()]
        self.told = [each for each in self.told if each.at >= links]
        return had - len(self.seen) - len(self.told)

    def usage(self, keys: Collection[AssetKey], since_day: Day) -> list[Usage]:
        added: dict[tuple[str, str, bool, Day], list[Usage]] = {}
        for each in self.usages:
            if each.day >= since_day and (each.source in keys or each.reader in keys):
                place = str(each.source), str(each.reader or ""), each.verified, each.day
                added.setdefault(place, []).append(each)
        return [_sum(added[place]) for place in sorted(added) if sum(each.calls for each in added[place]) > 0]

    def lease(self, now: Instant, until: Instant, limit: int = 20) -> list[Delivery]:
        with self.lock:
            due = [each for each in self.messages.values() if each.due is not None and each.due <= now]
            leased = sorted(due, key=lambda each: each.due or 0)[:limit]
            for each in leased:
                each.due = until
            return [Delivery(each.message, each.attempts) for each in leased]

    def delivered(self, message: str, now: Instant) -> None:
        if message in self.messages:
            self.messages[message].due = None

    def postponed(self, message: str, until: Instant | None, reason: str) -> None:
        kept = self.messages.get(message)
        if kept and kept.due is not None:
            kept.due, kept.attempts = until, kept.attempts + 1

    def undelivered(self) -> int:
        return sum(each.due is not None for each in self.messages.values())

    def keep(self, events: Collection[KeptEvent], keeper: str, now: Instant) -> int:
        with self.lock:
            new = {each.digest: each for each in events if each.digest not in self.events}
            self.events |= new
            self.waiting |= new.keys()
            self.keepers |= dict.fromkeys(new, keeper)
            self.whole |= dict.fromkeys(new, now)
            return len(new)

    def kept(
        self,
        origin: str,
        since: Instant = -FOREVER,
        until: Instant = FOREVER,
        after: EventPlace | None = None,
        limit: int = 1000,
    ) -> list[KeptEvent]:
        with self.lock:
            found = sorted((each.at, each.digest) for each in self.events.values() if each.origin == origin)
            places = [place for place in found if since <= place[0] < until and (after is None or place > after)]
            return [self.events[digest] for _, digest in places[:limit]]

    def event_origins(self, after: str = "", limit: int = 1000) -> list[str]:
        return sorted({each.origin for each in self.events.values() if each.origin > after})[:limit]

    def folded(self, events: Mapping[str, Collection[str]], keeper: str) -> Mapping[str, int]:
        with self.lock:
            self.waiting -= {digest for digests in events.values() for digest in digests}
            return {origin: len(self.kept_by_others(origin, keeper)) for origin in events}

    def kept_by_others(self, origin: str, keeper: str) -> list[str]:
        with self.lock:
            of = [each.digest for each in self.events.values() if each.origin == origin]
            return sorted(digest for digest in of if self.keepers[digest] != keeper)

    def kept_as(self, digests: Collection[str]) -> list[KeptEvent]:
        return [self.events[digest] for digest in sorted({*digests} & self.events.keys())]

    def unfolded(self, limit: int = 1000) -> list[str]:
        return sorted({self.events[digest].origin for digest in self.waiting})[:limit]

    def hear(self, heard: Collection[Heard], counter: str, sequence: int) -> bool:
        self._refuse_closed()
        if self.counters.get(counter, -1) >= sequence:
            return False
        self.counters[counter] = sequence
        for each in heard:
            known = self.heard_of.get((each.source, each.day))
            self.heard_of[each.source, each.day] = each if known is None else known.with_more(each)
        return True

    def heard(self, since_day: Day = 0, source: str | None = None) -> list[Heard]:
        self._refuse_closed()
        told = [self.heard_of[place] for place in sorted(self.heard_of)]
        return [each for each in told if each.day >= since_day and source in (None, each.source)]

    def reject(self, items: Collection[Rejected]) -> None:
        self._refuse_closed()
        for each in items:
            known = self.refused.get(each.id)
            self.refused[each.id] = each if known is None else known.again(each)
        for source in {each.source for each in items}:
            for surplus in self.rejected(source, limit=len(self.refused))[MOST_REJECTED:]:
                del self.refused[surplus.id]

    def rejected(
        self, source: str | None = None, before: tuple[Instant, str] | None = None, limit: int = 50
    ) -> list[Rejected]:
        self._refuse_closed()
        found = [
            each
            for each in self.refused.values()
            if source in (None, each.source) and (before is None or (each.last, each.id) < before)
        ]
        return sorted(found, key=lambda each: (each.last, each.id), reverse=True)[:limit]

    def rejected_item(self, id_: str) -> Rejected | None:
        self._refuse_closed()
        return self.refused.get(id_)

    def mended(self, ids: Collection[str]) -> int:
        self._refuse_closed()
        return sum(self.refused.pop(id_, None) is not None for id_ in ids)

    def unmended(self) -> Mapping[str, Unmended]:
        self._refuse_closed()
        kept = {
            source: [each.last for each in self.refused.values() if each.source == source]
            for source in sorted({each.source for each in self.refused.values()})
        }
        return {source: Unmended(len(lasts), max(lasts)) for source, lasts in kept.items()}

    def whole_events(self, before: Instant, limit: int = 1000) -> list[KeptEvent]:
        old = sorted((at, digest) for digest, at in self.whole.items() if at < before and digest not in self.waiting)
        return [self.events[digest] for _, digest in old[:limit]]

    def reduce_events(self, events: Sequence[KeptEvent], before: Instant, now: Instant) -> int:
        reduced = [each for each in events if self.whole.pop(each.digest, None) is not None]
        self.events |= {each.digest: self.events[each.digest]._replace(body=each.body) for each in reduced}
        return len(reduced)

    def mark_said(self, at: Mapping[tuple[Subject, str], Instant]) -> None:
        self.last_heard |= {place: max(instant, self.last_heard.get(place, instant)) for place, instant in at.items()}

    def last_said(self, subjects: Collection[Subject]) -> Mapping[tuple[Subject, str], Instant]:
        return {place: at for place, at in self.last_heard.items() if place[0] in subjects}

    def check(self) -> list[str]:
        return []

    def close(self) -> None:
        self.closed = True

    def _open(self) -> Iterable[StoredAssertion]:
        self._refuse_closed()
        return [row for row in self.rows if row.known.last == FOREVER]

    def _revisions(self) -> list[Revision]:
        return [replace(each, opened=tuple(self._current(row) for row in each.opened)) for each in self.revisions]

    def _said(self, revision: Revision) -> dict[AssetKey, tuple[Assertion, ...]]:
        told = {row.assertion.subject for row in _rows_of(revision)}
        said = self.believed_at(told, revision.number)
        return {key: tuple(row.assertion for row in said.get(key, ())) for key in told if isinstance(key, AssetKey)}

    def _current(self, row: StoredAssertion) -> StoredAssertion:
        return self.rows[row.number - 1]

    def _refuse_closed(self) -> None:
        if self.closed:
            raise StoreUnavailable("closed")


@dataclass
class _Kept:
    message: Message
    committed: Instant
    due: Instant | None
    attempts: int = 0


class ModelExport:
    def __init__(self, revision: int, rows: list[StoredAssertion]) -> None:
        ends = {end for row in rows for end in _ends(row.assertion.subject, via=True)}
        keys = sorted(ends | {key.container for key in ends if key.container}, key=str)
        self.revision, self._rows, self._numbers = revision, rows, {key: n for n, key in enumerate(keys, 1)}

    def assets(self) -> Iterator[AssetColumns]:
        yield AssetColumns(np.array([*self._numbers.values()], np.int64), [*map(str, self._numbers)])

    def assertions(self) -> Iterator[AssertionColumns]:
        columns = zip(*map(self._row, self._rows), strict=True) if self._rows else ([] for _ in range(11))
        n, s, t, v, origin, basis, start, end, first, last, attributes = columns
        origins = sorted(set(origin))
        i = np.int64
        yield AssertionColumns(
            np.array(n, i), np.array(s, i), np.array(t, i), np.array(v, i), np.array([origins.index(name) for name in origin], i), np.array(basis, np.int8),
            np.array(start, i), np.array(end, i), np.array(first, i), np.array(last, i), [*attributes], origins,
        )  # fmt: skip

    def _row(self, row: StoredAssertion) -> tuple[int, int, int, int, str, int, int, int, int, int, str]:
        said = row.assertion
        source, target, via = said.subject if isinstance(said.subject, Flow) else (said.subject, None, None)
        ends = self._numbers[source], self._numbers[target] if target else 0, self._numbers[via] if via else 0
        is_asset = isinstance(said.subject, AssetKey)
        basis, text = REFINES_FIRST.index(said.basis), canonical(said.attributes).decode() if is_asset else ""
        return row.number, *ends, said.origin, basis, *said.valid, *row.known, text


def _sum(usages: list[Usage]) -> Usage:
    seen = [each for each in usages if each.calls > 0]
    return replace(
        usages[0],
        calls=sum(each.calls for each in usages),
        errors=sum(each.errors for each in usages),
        first=min(each.first for each in seen),
        last=max(each.last for each in seen),
        latency=all_latency(each.latency for each in usages),
    )


def _ends(subject: Subject, via: bool = False) -> set[AssetKey]:
    if isinstance(subject, AssetKey):
        return {subject}
    return {subject.source, subject.target} | ({subject.via} if via and subject.via else set())


def _at(flow: Flow, keys: Collection[AssetKey]) -> bool:
    return any(end in keys or end.container in keys for end in _ends(flow, via=True))


def _rows_of(revision: Revision) -> tuple[StoredAssertion, ...]:
    return revision.opened + revision.closed


def _grouped(rows: Iterable[StoredAssertion]) -> dict[Subject, tuple[StoredAssertion, ...]]:
    found: dict[Subject, list[StoredAssertion]] = {}
    for row in sorted(rows, key=lambda row: (row.assertion.origin, row.assertion.valid.start, row.known.first)):
        found.setdefault(row.assertion.subject, []).append(row)
    return {subject: tuple(grouped) for subject, grouped in found.items()}
