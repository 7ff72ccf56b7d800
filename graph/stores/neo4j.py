"""The production store: Neo4j 5.23 or later, Community, Enterprise or Aura (`neo4j+s://`; untested on Aura).

What holds now is a graph for people (`neo4j_view`); the truth behind it is nodes of labels of their own:

    (:Assertion)   every one, open and closed; `source`, `target` and `via` are the numbers of assets
    (:Revision)    one a commit, numbered without gaps, with how many assertions it opened and closed
    (:Operation)   the answer an operation id was given
    (:Message)     what others must be told of a commit (`neo4j_messages`)
    (:Event)      what another system told (`neo4j_events`)
    (:Usage)       how often what was called, by whom (`neo4j_usage`)
    (:Head)        the last numbers given out; every write locks it first, so writers follow one another

A reader may see a part of a commit that Neo4j is just applying. Only the last revision can be such a one, so `head`
counts what it holds and names the one before until all is there; whatever is read up to `head` is whole.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TypeVar

from graph.changes import Changes, Receipt
from graph.errors import GraphError
from graph.keys import AssetKey, AssetKind
from graph.messages import Delivery
from graph.model import Assertion, Flow, Operation, StoredAssertion, Subject
from graph.sources import Heard, Rejected, Unmended
from graph.stores import neo4j_events, neo4j_messages, neo4j_sources, neo4j_usage
from graph.stores.contract import EventPlace, KeptEvent, Listener, Plan, Revision, SearchHit, SeenSpans, ToldSpans
from graph.stores.group import GroupCommit
from graph.stores.neo4j_check import check
from graph.stores.neo4j_commit import LOCK, SETTLE_CHUNK, Commit, apply, settle, warm_up
from graph.stores.neo4j_connection import BACKGROUND_SECONDS, Neo4jAddress, Neo4jConnection, Run, counters, value
from graph.stores.neo4j_export import Neo4jExport
from graph.stores.neo4j_migrate import migrate
from graph.stores.neo4j_recent import RecentRevisions
from graph.stores.neo4j_revisions import revisions_about, revisions_after
from graph.stores.neo4j_rows import (
    OPERATIONS,
    Answer,
    answered,
    answers,
    by_subject,
    key_of,
    nodes_at,
    said_of,
    stored_rows,
)
from graph.stores.words import query_words
from graph.time import FOREVER, Instant
from graph.usage import KEPT_DAYS, Day, Usage, day_of

T = TypeVar("T")

_ROWS_PER_SECOND = 1000
_FORGET_CHUNK = 10_000
_SMALL = 100


class Neo4jStore:
    """`url` is `neo4j://user:password@host:port/database`, credentials and database optional; `+s` for TLS.

    Creating it brings the schema up to date. Raises InvalidInput for the URL, StoreIncompatible for a schema that is
    newer or was changed by hand, StoreUnavailable. A call answers within `request_deadline` seconds or raises
    StoreUnavailable, but large commits, and what they must read before, have a second more for each thousand assertions,
    and `export`, `settle` and `check` take as long as they need, step by step.
    """

    commits_at_once = 2

    def __init__(self, url: str, *, request_deadline: float = 5.0) -> None:
        self._seconds = request_deadline
        self._db = Neo4jConnection(Neo4jAddress.parse(url), request_deadline)
        try:
            migrate(self._db)
            self._db.write(warm_up, BACKGROUND_SECONDS)
        except BaseException:
            self._db.close()
            raise
        self._whole = 0
        self._recent = RecentRevisions()
        self._listener: Listener | None = None
        self._answers: GroupCommit[str, Mapping[str, Answer]] = GroupCommit(self._read_answers)
        self._beliefs: GroupCommit[Collection[Subject], Mapping[Subject, tuple[Assertion, ...]]] = GroupCommit(
            self._read_beliefs
        )
        self._commits: GroupCommit[Commit, Receipt] = GroupCommit(self._commit_group)
        self._writes: GroupCommit[Callable[[Run], int], int] = GroupCommit(self._write_group)

    # Writing

    def commit(self, changes: Changes | Plan, operation: Operation, now: Instant) -> Receipt:
        if not isinstance(changes, Changes):
            try:
                changes = changes.changes(self)
            except GraphError:
                done = self.receipt_of(operation)  # what was done once is not judged again
                if done is None:
                    raise
                return done
        return self._commits.submit((changes, operation, now))

    def announce_to(self, listener: Listener) -> None:
        self._listener = listener

    def _commit_group(self, group: Sequence[Commit]) -> list[Receipt | Exception]:
        size = sum(len(change.before) + len(change.after) for changes, _, _ in group for change in changes.changes)
        draft, outcomes = self._db.write(
            lambda run: apply(run, group),
            self._seconds + size / _ROWS_PER_SECOND,
            after_doubt=lambda run: apply(run, group, in_doubt=True),
        )
        for revision in draft.told:
            self._recent.add(revision)
        self._whole = max(self._whole, draft.revision)  # a commit that has returned can be seen whole
        if draft.told and self._listener:
            with suppress(Exception):  # it is committed; whoever needs the listener to know asks it to catch up
                self._listener(draft.told)
        return outcomes

    def settle(self, now: Instant) -> int:
        moved = 0
        with self._commits.exclusively():
            while True:
                settled, flows = self._db.write(lambda run: settle(run, now), BACKGROUND_SECONDS)
                moved += flows
                if settled < SETTLE_CHUNK:
                    return moved

    def forget_operations(self, before: Instant, now: Instant) -> int:
        oldest = day_of(now) - KEPT_DAYS
        with self._commits.exclusively():
            removed = self._forget("operation", _OLD_OPERATIONS, before, now)
            self._forget("message", _OLD_MESSAGES, before, now)
            self._forget("usage", "MATCH (n:Usage) WHERE n.day < $before", oldest, now)
            self._forget("counter", "MATCH (n:Counter) WHERE n.day < $before", oldest, now)
            self._forget("source_day", "MATCH (n:SourceDay) WHERE n.day < $before", oldest, now)
            self._forget("rejected", "MATCH (n:Rejected) WHERE n.last < $before", before, now)
        return removed

    def _forget(self, what: str, match: str, before: int, now: Instant) -> int:
        query, removed = f"{match}{_FORGET}", 0
        while True:
            forgotten: int = self._db.write(
                lambda run: value(run, query, what=what, before=before, now=now, limit=_FORGET_CHUNK),
                BACKGROUND_SECONDS,
            )
            removed += forgotten
            if forgotten < _FORGET_CHUNK:
                return removed

    def count(self, usages: Collection[Usage], counter: str, sequence: int) -> bool:
        return self._write_locked(lambda run: neo4j_usage.count(run, usages, counter, sequence))

    def count_spans(self, usages: Collection[Usage], counter: str, sequence: int, told: ToldSpans) -> list[SeenSpans]:
        return self._write_locked(lambda run: neo4j_usage.count_spans(run, usages, counter, sequence, told))

    def forget_spans(self, minute: int, links: Instant, now: Instant) -> int:
        with self._commits.exclusively():
            last = self._db.read(neo4j_usage.last_seen_spans)  # numbers never begin anew
            seen = f"MATCH (n:SeenSpans) WHERE n.minute < $before AND n.number < {last}"
            removed = self._forget("spans_seen", seen, minute, now)
            return removed + self._forget("span_links", "MATCH (n:SpanLinks) WHERE n.at < $before", links, now)

    def lease(self, now: Instant, until: Instant, limit: int = 20) -> list[Delivery]:
        return self._write_locked(lambda run: neo4j_messages.lease(run, now, until, limit))

    def delivered(self, message: str, now: Instant) -> None:
        self._write_locked(lambda run: neo4j_messages.delivered(run, message, now))

    def postponed(self, message: str, until: Instant | None, reason: str) -> None:
        self._write_locked(lambda run: neo4j_messages.postponed(run, message, until, reason))

    def keep(self, events: Collection[KeptEvent], keeper: str, now: Instant) -> int:
        return self._writes.submit(lambda run: neo4j_events.keep(run, events, keeper, now))

    def folded(self, events: Mapping[str, Collection[str]], keeper: str) -> Mapping[str, int]:
        others: dict[str, int] = {}

        def write(run: Run) -> int:
            others.update(neo4j_events.folded(run, events, keeper))
            return len(events)

        self._writes.submit(write)
        return others

    def reduce_events(self, events: Sequence[KeptEvent], before: Instant, now: Instant) -> int:
        return self._writes.submit(lambda run: neo4j_events.reduce(run, events, before, now))

    def mark_said(self, at: Mapping[tuple[Subject, str], Instant]) -> None:
        def write(run: Run) -> int:
            neo4j_events.mark_said(run, at)
            return len(at)

        self._writes.submit(write)

    def hear(self, heard: Collection[Heard], counter: str, sequence: int) -> bool:
        def write(run: Run) -> bool:
            if not neo4j_usage.moved(run, counter, sequence, (each.day for each in heard)):
                return False
            neo4j_sources.hear(run, heard)
            return True

        return self._write_locked(write)

    def reject(self, items: Collection[Rejected]) -> None:
        self._write_locked(lambda run: neo4j_sources.reject(run, items))

    def mended(self, ids: Collection[str]) -> int:
        return self._write_locked(lambda run: neo4j_sources.mended(run, ids))

    def _write_group(self, group: Sequence[Callable[[Run], int]]) -> list[int | Exception]:
        return self._db.write(lambda run: [write(run) for write in group])  # beside commits, which need not wait

    def _write_locked(self, work: Callable[[Run], T]) -> T:
        def write(run: Run) -> T:
            counters(run, LOCK)
            return work(run)

        return self._db.write(write)

    # Reading

    def head(self) -> int:
        return self._db.read(self._head)

    def believed(self, subjects: Collection[Subject]) -> Mapping[Subject, tuple[Assertion, ...]]:
        return self._beliefs.submit(subjects) if len(subjects) <= _SMALL else self._read_beliefs([subjects])[0]

    def _read_beliefs(self, group: Sequence[Collection[Subject]]) -> list[Mapping[Subject, tuple[Assertion, ...]]]:
        subjects = {subject: None for asked in group for subject in asked}
        rows = self._db.read(
            lambda run: said_of(run, subjects, "x.known_last IS NULL"),
            self._seconds + len(subjects) / _ROWS_PER_SECOND,
        )
        found = {subject: tuple(row.assertion for row in said) for subject, said in rows.items()}
        return [{subject: found[subject] for subject in asked if subject in found} for asked in group]

    def believed_at(
        self, subjects: Collection[Subject], revision: int
    ) -> Mapping[Subject, tuple[StoredAssertion, ...]]:
        where = "x.known_first <= $revision AND coalesce(x.known_last > $revision, true)"
        found = self._db.read(lambda run: said_of(run, subjects, where, revision=revision))
        return {subject: tuple(rows) for subject, rows in found.items()}

    def believed_by(self, origin: str) -> Mapping[Subject, tuple[Assertion, ...]]:
        where = "MATCH (x:Assertion {origin: $origin}) WHERE x.known_last IS NULL"
        found = by_subject(self._db.read(lambda run: stored_rows(run, where, origin=origin)))
        return {subject: tuple(row.assertion for row in rows) for subject, rows in found.items()}

    def touching(self, keys: Collection[AssetKey]) -> Collection[Subject]:
        parts, flows = self._db.read(lambda run: value(run, _TOUCHING, keys=[*map(str, keys)]))
        return {*map(key_of, parts), *(Flow(key_of(s), key_of(t), key_of(v) if v else None) for s, t, v in flows)}

    def versions(self, keys: Collection[AssetKey]) -> Mapping[AssetKey, int]:
        return self._db.read(lambda run: nodes_at(run, keys).versions)

    def receipt_of(self, operation: Operation) -> Receipt | None:
        if operation.id is None:
            return None
        return answered(operation, self._answers.submit(operation.id))

    def _read_answers(self, group: Sequence[str]) -> list[Mapping[str, Answer]]:
        found = self._db.read(lambda run: answers(value(run, OPERATIONS, ids=[*group])))
        return [found] * len(group)

    def changes_since(self, revision: int, limit: int = 1000) -> list[Revision]:
        if recent := self._recent.after(revision, limit):  # the server need not be asked
            return recent

        def read(run: Run) -> list[Revision]:
            head = self._head(run)
            return revisions_after(run, revision, head, limit) if revision < head else []

        found = self._db.read(read)
        for each in found:
            self._recent.add(each)
        return found

    def history(self, key: AssetKey, before: int | None = None, limit: int = 50) -> list[Revision]:
        def read(run: Run) -> list[Revision]:
            end = min(self._head(run) + 1, FOREVER if before is None else before)
            return revisions_about(run, key, end, limit)

        return sorted(self._db.read(read), key=lambda revision: -revision.number)

    def stamp(self, revision: int) -> str | None:
        found: str | None = self._db.read(lambda run: value(run, _STAMP, number=revision))
        return found

    def revision_at(self, moment: Instant) -> int:
        def read(run: Run) -> int:
            last: int = value(run, _REVISION_AT, moment=moment, head=self._head(run))
            return last

        return self._db.read(read)

    def keys(
        self, at: Instant, kinds: Collection[AssetKind] = (), after: AssetKey | None = None, limit: int = 100
    ) -> list[AssetKey]:
        def read(run: Run) -> list[AssetKey]:
            found: list[str] = []
            # The text of a key begins with its kind, so each kind is one range of the index.
            for prefix in sorted(f"{kind}:" for kind in kinds) or [""]:
                left = limit - len(found)
                found += value(run, _KEYS, prefix=prefix, after=str(after or ""), at=at, limit=left)
                if len(found) >= limit:
                    break
            return [*map(key_of, found)]

        return self._db.read(read)

    def search(self, text: str, kinds: Collection[AssetKind] = (), limit: int = 20, offset: int = 0) -> list[SearchHit]:
        wanted = query_words(text)
        if not wanted:
            return []
        query = " AND ".join(f"({word}^4 OR {word}*)" for word in wanted)  # a whole word counts for more than a prefix
        among = [kind.value for kind in kinds]

        def read(run: Run) -> list[SearchHit]:
            counters(run, _AWAIT_SEARCH)
            hits = value(run, _SEARCH, query=query, kinds=among, limit=limit, offset=offset)
            return [SearchHit(key_of(key), score) for key, score in hits]

        return self._db.read(read)

    def usage(self, keys: Collection[AssetKey], since_day: Day) -> list[Usage]:
        return self._db.read(lambda run: neo4j_usage.usage(run, keys, since_day))

    def seen_spans(self, minutes: Collection[int]) -> list[SeenSpans]:
        return self._db.read(lambda run: neo4j_usage.seen_spans(run, minutes))

    def last_seen_spans(self) -> int:
        return self._db.read(neo4j_usage.last_seen_spans)

    def links(self, recorder: str, since: Instant) -> list[bytes]:
        return self._db.read(lambda run: neo4j_usage.links(run, recorder, since))

    def undelivered(self) -> int:
        return self._db.read(neo4j_messages.undelivered)

    def kept(
        self,
        origin: str,
        since: Instant = -FOREVER,
        until: Instant = FOREVER,
        after: EventPlace | None = None,
        limit: int = 1000,
    ) -> list[KeptEvent]:
        return self._db.read(lambda run: neo4j_events.kept(run, origin, since, until, after, limit))

    def event_origins(self, after: str = "", limit: int = 1000) -> list[str]:
        return self._db.read(lambda run: neo4j_events.origins(run, after, limit))

    def kept_by_others(self, origin: str, keeper: str) -> list[str]:
        return self._db.read(lambda run: neo4j_events.others(run, origin, keeper))

    def kept_as(self, digests: Collection[str]) -> list[KeptEvent]:
        return self._db.read(lambda run: neo4j_events.with_digests(run, digests))

    def unfolded(self, limit: int = 1000) -> list[str]:
        return self._db.read(lambda run: neo4j_events.unfolded(run, limit))

    def heard(self, since_day: Day = 0, source: str | None = None) -> list[Heard]:
        return self._db.read(lambda run: neo4j_sources.heard(run, since_day, source))

    def rejected(
        self, source: str | None = None, before: tuple[Instant, str] | None = None, limit: int = 50
    ) -> list[Rejected]:
        return self._db.read(lambda run: neo4j_sources.rejected(run, source, before, limit))

    def rejected_item(self, id_: str) -> Rejected | None:
        return self._db.read(lambda run: neo4j_sources.rejected_item(run, id_))

    def unmended(self) -> Mapping[str, Unmended]:
        return self._db.read(neo4j_sources.unmended)

    def whole_events(self, before: Instant, limit: int = 1000) -> list[KeptEvent]:
        return self._db.read(lambda run: neo4j_events.whole(run, before, limit))

    def last_said(self, subjects: Collection[Subject]) -> Mapping[tuple[Subject, str], Instant]:
        return self._db.read(lambda run: neo4j_events.last_said(run, subjects))

    @contextmanager
    def export(self) -> Iterator[Neo4jExport]:
        def read(run: Run) -> tuple[int, int, int]:
            revision = self._head(run)
            assets, assertions = value(run, "MATCH (h:Head {name: 'lineage'}) RETURN [h.assets, h.assertions]")
            return revision, assets, assertions

        yield Neo4jExport(self._db, *self._db.read(read))

    def check(self) -> list[str]:
        return check(self._db, BACKGROUND_SECONDS)

    def close(self) -> None:
        with self._commits.exclusively():
            self._db.close()

    def _head(self, run: Run) -> int:
        """The last revision of which everything can be seen."""
        head, whole = value(run, _HEAD, whole=self._whole)
        if not whole:
            return int(head) - 1
        self._whole = int(head)
        return int(head)


_OLD_OPERATIONS = "MATCH (n:Operation) WHERE n.at < $before"

_OLD_MESSAGES = """
MATCH (r:Revision) WHERE r.at < $before
MATCH (n:Message {revision: r.number}) WHERE n.due_at IS NULL"""

_FORGET = """
WITH n LIMIT $limit
DELETE n
WITH count(*) AS removed
FOREACH (_ IN CASE WHEN removed = 0 THEN [] ELSE [1] END |
  CREATE (:Purge {at: $now, what: $what, before: $before, removed: removed}))
RETURN removed
"""

_HEAD = """
MATCH (h:Head {name: 'lineage'})
OPTIONAL MATCH (r:Revision {number: h.number}) WHERE h.number > $whole
RETURN [h.number, h.number <= $whole OR coalesce(
  COUNT { (x:Assertion) WHERE x.known_first = r.number } = r.opened
  AND COUNT { (x:Assertion) WHERE x.known_last = r.number } = r.closed, false)]
"""

_TOUCHING = """
MATCH (k:Key) WHERE k.key IN $keys
WITH collect(k) AS wholes
WITH wholes, COLLECT { UNWIND wholes AS k MATCH (p:Key {_container: k.number}) RETURN p } AS parts
WITH [k IN wholes + parts | k.number] AS reach, parts
RETURN [
  COLLECT {
    UNWIND parts AS p
    WITH DISTINCT p WHERE NOT p.key IN $keys AND EXISTS { (x:Assertion {subject: p.key}) WHERE x.known_last IS NULL }
    RETURN p.key
  },
  COLLECT {
    MATCH (x:Assertion) WHERE (x.source IN reach OR x.target IN reach OR x.via IN reach) AND x.target IS NOT NULL AND x.known_last IS NULL
    WITH DISTINCT x.source AS source, x.target AS target, x.via AS via
    MATCH (s:Key {number: source}) MATCH (t:Key {number: target}) OPTIONAL MATCH (v:Key {number: via})
    RETURN [s.key, t.key, v.key]
  }
]
"""

_STAMP = """
OPTIONAL MATCH (r:Revision {number: $number})
RETURN toString(r.at) + ' ' + r.actor + ' ' + coalesce(r.operation, 'None')
"""

_REVISION_AT = """
OPTIONAL MATCH (r:Revision) WHERE r.at <= $moment AND r.number <= $head
WITH r ORDER BY r.at DESC, r.number DESC LIMIT 1
RETURN coalesce(r.number, 0)
"""

_KEYS = """
MATCH (k:Key) WHERE k.key > $after AND k.key STARTS WITH $prefix AND k.kind <> 'alias' AND EXISTS {
  (x:Assertion {subject: k.key}) WHERE x.known_last IS NULL AND x.valid_start <= $at < x.valid_end
}
WITH k ORDER BY k.key LIMIT $limit
RETURN collect(k.key)
"""

# The index follows in the background, which makes commits cheaper by a half.
_AWAIT_SEARCH = "CALL db.index.fulltext.awaitEventuallyConsistentIndexRefresh()"

_SEARCH = """
CALL db.index.fulltext.queryNodes('asset_words', $query) YIELD node, score
WHERE $kinds = [] OR node.kind IN $kinds
WITH node, score ORDER BY score DESC, node.key SKIP $offset LIMIT $limit
RETURN collect([node.key, score])
"""
