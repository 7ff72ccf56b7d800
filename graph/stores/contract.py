"""What every store promises. `tests/contract/` runs the same suite on each.

A store keeps assets, flows and assertions, numbers revisions, and answers by key. It does not walk: `graph.index` does.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from graph.changes import Changes, Receipt
from graph.keys import AssetKey, AssetKind
from graph.messages import Delivery
from graph.model import Assertion, Operation, StoredAssertion, Subject
from graph.sources import Heard, Rejected, Unmended
from graph.time import FOREVER, Instant
from graph.usage import Usage

Numbers: TypeAlias = NDArray[np.integer]


class GraphReader(Protocol):
    """Reads what is believed now. Every method may raise StoreUnavailable."""

    def head(self) -> int:
        """The number of the last revision; 0 for an empty store."""
        ...

    def believed(self, subjects: Collection[Subject]) -> Mapping[Subject, tuple[Assertion, ...]]:
        """All that any origin says of `subjects`, by origin and start. Nothing said: the subject is absent."""
        ...

    def believed_by(self, origin: str) -> Mapping[Subject, tuple[Assertion, ...]]:
        """All that `origin` says of anything, including what no longer holds; empty for an unknown origin."""
        ...

    def touching(self, keys: Collection[AssetKey]) -> Collection[Subject]:
        """The parts of `keys`, and the flows at or via them or their parts, that anybody believes in now."""
        ...

    def versions(self, keys: Collection[AssetKey]) -> Mapping[AssetKey, int]:
        """The revision that last changed what is said of each asset itself. Never said anything of: absent."""
        ...


class Plan(Protocol):
    """Changes yet to be made from what is believed, so that nothing can come between making and committing them."""

    @property
    def subjects(self) -> Collection[Subject]:
        """What `changes` asks `believed` for, whatever is stored: a store may read it for several plans at once."""
        ...

    def changes(self, known: GraphReader) -> Changes:
        """May be called more than once; the last answer counts. Raises what is wrong with the request."""
        ...


@dataclass(frozen=True, slots=True)
class Revision:
    """One commit: what came to be believed in it, and what stopped being."""

    number: int
    at: Instant
    operation: str | None
    actor: str
    opened: tuple[StoredAssertion, ...]
    """With their `known` as it is when this is read: its `last` may lie in a later revision."""
    closed: tuple[StoredAssertion, ...]
    said: Mapping[AssetKey, tuple[Assertion, ...]] = field(default_factory=dict)
    """All that any origin was believed to say, at this revision, of each asset it tells of itself (not of the ends of its
    flows); nothing: an empty tuple. Only `changes_since` fills it."""


Listener: TypeAlias = Callable[[Sequence[Revision]], None]


@dataclass(frozen=True, slots=True)
class SearchHit:
    key: AssetKey
    score: float
    """Higher is better; comparable within one answer only."""


class AssetColumns(NamedTuple):
    """Some assets, as columns. `number` is the store's own: positive, never used again, the same in all columns below."""

    number: Numbers
    key: list[str]


class AssertionColumns(NamedTuple):
    """Some assertions with their whole history, as columns of equal length, in no order.

    `source` is the asset an assertion is of; `target` and `via` are 0 where there is none (for assets both are).
    Open ends are graph.time.FOREVER. `basis` indexes graph.model.REFINES_FIRST, `origin` indexes `origins`, which has
    a length of its own. `attributes` is canonical JSON for assets; for flows it is empty: no walk asks for theirs.
    """

    number: Numbers
    source: Numbers
    target: Numbers
    via: Numbers
    origin: Numbers
    basis: Numbers
    valid_start: Numbers
    valid_end: Numbers
    known_first: Numbers
    known_last: Numbers
    attributes: list[str]
    origins: list[str]


class Export(Protocol):
    """A consistent reading of the whole store at one revision; iterate each part once, assets first."""

    revision: int

    def assets(self) -> Iterator[AssetColumns]: ...

    def assertions(self) -> Iterator[AssertionColumns]:
        """May hold assertions of revisions after `revision`, never a part of one up to it; the reader leaves them out."""
        ...


class KeptEvent(NamedTuple):
    """What another system told, as it told it."""

    digest: str
    """Of what it says; an event that is sent again has that of the first."""
    origin: str
    body: bytes
    """JSON."""
    at: Instant = 0
    """When it happened, as it tells."""


EventPlace: TypeAlias = tuple[Instant, str]
"""`at` and `digest` of an event: events of one origin are in this order."""


class SeenSpans(NamedTuple):
    """Spans that were counted, so that none counts twice."""

    number: int
    """Rises by one with each of all recorders."""
    minute: int
    """Since 1970: in which they began."""
    ids: bytes
    """8 bytes each."""


@dataclass(frozen=True, slots=True)
class ToldSpans:
    """What one recorder has learnt of spans."""

    recorder: str
    at: Instant
    after: int
    """The number of the last `SeenSpans` that it knows of."""
    seen: Mapping[int, bytes]
    """The ids of the new ones, by the minute in which they began."""
    links: bytes
    """How they hang together, in a form of the recorder's own; empty: there is nothing to keep."""


class Store(GraphReader, Protocol):
    commits_at_once: int
    """Large ones, that are worth having under way: two where a server writes one while this process plans the next, one
    where this process does both, and they would take the interpreter from each other."""

    def commit(self, changes: Changes | Plan, operation: Operation, now: Instant) -> Receipt:
        """All of `changes` or nothing, as the next revision; durable once this returns.

        A plan is asked for its changes when they are committed, unless the operation was answered before.

        Repeated with the same operation id and digest: the first answer, and no effect. Empty changes take no
        revision. Concurrent commits are serialised; nothing is lost when interrupted half-way.

        Raises PlanOutdated, StaleVersion, OperationReused: nothing was kept. StoreUnavailable: the outcome is
        unknown, and repeating the request with the same operation id is safe.
        """
        ...

    def announce_to(self, listener: Listener) -> None:
        """From now on `listener`, and no other, is told of every commit through this store before the commit returns.

        In order, and at once of all that are made together. What it raises is dropped: the commit is durable by then.
        """
        ...

    def receipt_of(self, operation: Operation) -> Receipt | None:
        """The answer this operation was given; None if it has not happened. Raises OperationReused."""
        ...

    def changes_since(self, revision: int, limit: int = 1000) -> list[Revision]:
        """The revisions after `revision` in order, at most `limit`. At or beyond the head: none."""
        ...

    def history(self, key: AssetKey, before: int | None = None, limit: int = 50) -> list[Revision]:
        """The revisions that changed what is said of `key` or of a flow at it, newest first, each cut down to that.

        `before`: only revisions with smaller numbers. Unknown key: none.
        """
        ...

    def believed_at(
        self, subjects: Collection[Subject], revision: int
    ) -> Mapping[Subject, tuple[StoredAssertion, ...]]:
        """What was believed of `subjects` at `revision`; like `believed`, with the assertions' numbers."""
        ...

    def stamp(self, revision: int) -> str | None:
        """A text that tells this revision from that of any other store, or history; None where there is no such one.

        It is made of what a revision's record holds beside its number: the instant, the actor, the operation id.
        """
        ...

    def revision_at(self, moment: Instant) -> int:
        """The last revision committed at or before `moment`; 0 when there was none."""
        ...

    def keys(
        self, at: Instant, kinds: Collection[AssetKind] = (), after: AssetKey | None = None, limit: int = 100
    ) -> list[AssetKey]:
        """The assets that some assertion, believed now, says are at `at`, in the order of their key's text.

        `kinds` empty means all; `after` itself is left out. Stubs and aliases are not listed.
        """
        ...

    def search(self, text: str, kinds: Collection[AssetKind] = (), limit: int = 20, offset: int = 0) -> list[SearchHit]:
        """Assets that hold now and whose key, description, owners or tags hold every word of `text` (as a prefix).

        Best first, ties in the order of the keys' text. No words in `text`: none. "Now" is the last commit or `settle`.
        Stubs and aliases are not found. Raises InvalidInput for more than 64 different words.
        """
        ...

    def export(self) -> AbstractContextManager[Export]:
        """Everything, for the index to start from."""
        ...

    def settle(self, now: Instant) -> int:
        """Brings derived views of what holds *now* up to date where valid time has passed a start or an end.

        Answers how many assets and flows that touched; repeated for the same instant, 0. Takes no revision: nothing that
        is believed changes.
        """
        ...

    def forget_operations(self, before: Instant, now: Instant) -> int:
        """Forgets the operation ids of commits before an instant; how many. The purge itself is recorded, as of `now`.

        With them go the messages of such commits that were delivered or given up, items refused before that instant and
        not since, and what is older than KEPT_DAYS of usage and of what was heard.
        """
        ...

    # Usage: a measure beside the facts, outside revisions

    def count(self, usages: Collection[Usage], counter: str, sequence: int) -> bool:
        """Adds `usages` to what was counted; durable once this returns. Answers False if it was counted before.

        `counter` names one recorder's life, and `sequence` rises with its every batch, so that a batch repeated after
        a lost answer counts once. Needs no asset to be registered. Usage of no or negative calls moves neither `first`
        nor `last` of what it is added to.
        """
        ...

    def count_spans(self, usages: Collection[Usage], counter: str, sequence: int, told: ToldSpans) -> list[SeenSpans]:
        """As `count`, and with it, in one, keeps what spans were told; answers nothing when that is done, or was before.

        Else other recorders have told of spans after `told.after`: nothing is kept, and what they told is the answer.
        """
        ...

    def seen_spans(self, minutes: Collection[int]) -> list[SeenSpans]:
        """Which spans that began in `minutes` were told, in the order of the numbers."""
        ...

    def last_seen_spans(self) -> int:
        """The greatest number of all; 0 before the first."""
        ...

    def links(self, recorder: str, since: Instant) -> list[bytes]:
        """What the recorder told from `since` on, to know after a restart which calls it had counted as whose; in order."""
        ...

    def forget_spans(self, minute: int, links: Instant, now: Instant) -> int:
        """Forgets spans that began before a minute, and links before an instant. How many rows; recorded as of `now`."""
        ...

    def usage(self, keys: Collection[AssetKey], since_day: int) -> list[Usage]:
        """What was counted on `since_day` and later of calls to `keys` or by them, in the order of the fields' text.

        A sum of no calls, or fewer, is left out. Keys that were never counted: none.
        """
        ...

    # Messages: committed with the change that they tell of (`Changes.messages`), and sent afterwards

    def lease(self, now: Instant, until: Instant, limit: int = 20) -> list[Delivery]:
        """The messages due at `now`, longest due first; they are not due again before `until`. Two callers share none."""
        ...

    def delivered(self, message: str, now: Instant) -> None:
        """The message is never due again, given up or not. Repeated, or for an unknown id: no effect."""
        ...

    def postponed(self, message: str, until: Instant | None, reason: str) -> None:
        """An attempt failed: due again at `until`; None gives the message up. `reason` is kept for people.

        Delivered or given up already, or unknown: no effect.
        """
        ...

    def undelivered(self) -> int:
        """How many messages are neither delivered nor given up."""
        ...

    # Events: what valid time is computed from, beside the facts that follow (`graph.folding`)

    def keep(self, events: Collection[KeptEvent], keeper: str, now: Instant) -> int:
        """Durable once this returns; how many are new. One whose digest is kept already has no effect.

        `keeper` names the process that will see to it that they are folded.
        """
        ...

    def kept(
        self,
        origin: str,
        since: Instant = -FOREVER,
        until: Instant = FOREVER,
        after: EventPlace | None = None,
        limit: int = 1000,
    ) -> list[KeptEvent]:
        """The events of `origin` that happened in [since, until), in their order, those at or before `after` left out."""
        ...

    def event_origins(self, after: str = "", limit: int = 1000) -> list[str]:
        """Origins of which there are events, in the order of their text; `after` and those before it are left out."""
        ...

    def folded(self, events: Mapping[str, Collection[str]], keeper: str) -> Mapping[str, int]:
        """The graph says what follows from these digests, by origin; of each origin, how many others than `keeper` kept.

        Repeated, or for events that were not kept: no effect.
        """
        ...

    def kept_by_others(self, origin: str, keeper: str) -> list[str]:
        """The digests of the events of `origin` that others than `keeper` kept, in order."""
        ...

    def kept_as(self, digests: Collection[str]) -> list[KeptEvent]:
        """The events with these digests, in the order of those. Unknown: absent."""
        ...

    def unfolded(self, limit: int = 1000) -> list[str]:
        """Origins with events of which the graph does not say yet what follows, at most `limit`, in the order of their text."""
        ...

    def whole_events(self, before: Instant, limit: int = 1000) -> list[KeptEvent]:
        """Events that were kept before an instant, are folded, and were never reduced; longest kept first."""
        ...

    def reduce_events(self, events: Sequence[KeptEvent], before: Instant, now: Instant) -> int:
        """Their bodies take the place of those that were kept; how many. What is reduced is not reduced again.

        That is recorded as a purge, as of `now`, of what is older than `before`.
        """
        ...

    def mark_said(self, at: Mapping[tuple[Subject, str], Instant]) -> None:
        """Origins were heard to say these at those instants; the latest counts. A measure: outside revisions."""
        ...

    def last_said(self, subjects: Collection[Subject]) -> Mapping[tuple[Subject, str], Instant]:
        """When each origin was last heard to say something of `subjects`; never: absent."""
        ...

    # Sources: who told what and when, and what of it was refused, outside revisions (`graph.sources`)

    def hear(self, heard: Collection[Heard], counter: str, sequence: int) -> bool:
        """Adds to what was heard of each source and day; durable once this returns. False: added before; see `count`."""
        ...

    def heard(self, since_day: int = 0, source: str | None = None) -> list[Heard]:
        """What is kept of `since_day` and later, of all sources or of one, in the order of source and day."""
        ...

    def reject(self, items: Collection[Rejected]) -> None:
        """Durable once this returns. An item refused again (`Rejected.again`) is kept once.

        Of one source at most MOST_REJECTED are kept, those refused last.
        """
        ...

    def rejected(
        self, source: str | None = None, before: tuple[Instant, str] | None = None, limit: int = 50
    ) -> list[Rejected]:
        """Those refused last first, ties in the order of their ids, from the last; `before`: after that `last` and id."""
        ...

    def rejected_item(self, id_: str) -> Rejected | None:
        """None: not kept, or no longer."""
        ...

    def mended(self, ids: Collection[str]) -> int:
        """Forgets them; how many were kept."""
        ...

    def unmended(self) -> Mapping[str, Unmended]:
        """By source, of those that have any."""
        ...

    def check(self) -> list[str]:
        """What is wrong inside the store, one sentence each, in order; empty when all is well."""
        ...

    def close(self) -> None:
        """Waits for running calls; later ones raise StoreUnavailable. Closing twice is no error."""
        ...
