"""The lineage index: the whole topology in memory, with all its history, following a store by revision.

What it holds is `tables`; what a revision tells is brought in by `retelling`, all at once by `loading`, or from a
`snapshot`. A reader that has fixed a revision sees one consistent graph, without locks.
"""

import threading
from collections.abc import Sequence

from graph.errors import NotReady
from graph.loading import load
from graph.retelling import retell
from graph.stores.contract import Revision, Store
from graph.tables import Tables
from graph.topology import View


class LineageIndex:
    """Empty until `load`. One thread at a time changes it; any number read it through `view`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._compacting = threading.Lock()
        self._view: View | None = None
        self.changing = threading.RLock()
        """Held by whoever changes `tables`, or looks at more of them than a view shows."""
        self.tables = Tables()

    @property
    def revision(self) -> int:
        """The last revision that readers see; 0 before `load`."""
        return 0 if self._view is None else self._view.revision

    @property
    def loaded(self) -> bool:
        return self._view is not None

    def view(self) -> View:
        """Takes no lock. Raises NotReady while the index is loading: it never answers from a part of the graph."""
        view = self._view
        if view is None:
            raise NotReady("the lineage index is still loading; try again in a moment")
        return view

    def load(self) -> None:
        """Reads everything from the store, then follows it to its head."""
        with self.changing:
            self._view = None
            self.tables = Tables()
            with self._store.export() as export:
                latest = self._store.changes_since(export.revision - 1, 1)
                load(self.tables, export, latest[0].at if latest else 0)
            self._catch_up()

    def replay(self) -> None:
        """Like `load`, but revision by revision: slow, and the proof that `load` is right, and following at a stretch."""
        with self.changing:
            self._view = None
            self.tables = Tables()
            while revisions := self._store.changes_since(self.tables.revision):
                for revision in revisions:
                    retell(self.tables, [revision])
            self._view = self.tables.view()

    def restore(self, tables: Tables) -> None:
        """Takes these over, which hold what some revision of the store told, then follows it to its head."""
        with self.changing:
            self._view = None
            self.tables = tables
            self._catch_up()

    def follow(self, at_least: int | None = None) -> int:
        """Applies all that was committed since; the revision reached. Nothing before `load`.

        `at_least`: enough, if another thread has come so far already; it is not waited for while it goes on.
        """
        if not self._has(at_least):
            with self.changing:
                if self._view is not None and not self._has(at_least):
                    self._catch_up(at_least)
        return self.revision

    def hear(self, revisions: Sequence[Revision]) -> None:
        """Applies what the store has just committed, if it comes next here and nobody else is changing the index.

        Else nothing happens: `follow` finds it in the store.
        """
        if self._comes_next(revisions[0]) and self.changing.acquire(blocking=False):
            try:
                if self._comes_next(revisions[0]):
                    retell(self.tables, revisions)
                    self._view = self.tables.view()
            finally:
                self.changing.release()

    def _comes_next(self, revision: Revision) -> bool:
        return self.loaded and revision.number == self.tables.revision + 1

    def _has(self, revision: int | None) -> bool:
        return revision is not None and self.revision >= revision

    def _catch_up(self, at_least: int | None = None) -> None:
        """To the head of the store, or `at_least` that far: the store need not be asked whether there is more."""
        while revisions := self._store.changes_since(self.tables.revision):
            retell(self.tables, revisions)
            if at_least is not None and self.tables.revision >= at_least:
                break
        self._view = self.tables.view()

    @property
    def wants_compaction(self) -> bool:
        return self.tables.wants_compaction

    def compact(self) -> None:
        """Sorts in what came since the last time. Readers and `follow` go on meanwhile."""
        with self._compacting:
            tables = self.tables
            tables.compact(self.changing)
            with self.changing:
                if self._view is not None and self.tables is tables:
                    self._view = tables.view()
