"""Brings a Neo4j schema up to date. Neo4j keeps schema and data in separate transactions, so each step can be repeated."""

import re
import time
import uuid

from graph.errors import StoreIncompatible, StoreUnavailable
from graph.stores.migrations import Migration, migrations_in, pending
from graph.stores.neo4j_connection import Neo4jConnection, Run, counters, value

_STEP_SECONDS = 60.0
_LEASE_MILLISECONDS = 90_000
_PATIENCE_SECONDS = 180.0

_SCHEMA = re.compile(r"CREATE (?:\w+ )*?(?:INDEX|CONSTRAINT) (\w+) IF NOT EXISTS")

_LOCK_SCHEMA = (
    "CREATE CONSTRAINT migration_number IF NOT EXISTS FOR (m:Migration) REQUIRE m.number IS UNIQUE",
    "CREATE CONSTRAINT migration_lock_name IF NOT EXISTS FOR (l:MigrationLock) REQUIRE l.name IS UNIQUE",
)

# The server's clock decides, so that all contenders use the same one.
_TAKE_LEASE = """
MERGE (l:MigrationLock {name: 'lineage'})
SET l.asked_by = $owner
WITH l WHERE l.owner IS NULL OR l.owner = $owner OR l.until < timestamp()
SET l.owner = $owner, l.until = timestamp() + $lease
RETURN count(l) = 1
"""

_GIVE_LEASE_BACK = "MATCH (l:MigrationLock {name: 'lineage', owner: $owner}) REMOVE l.owner, l.until"

_SCHEMA_NAMES = """
SHOW CONSTRAINTS YIELD name RETURN collect(name)
"""

_INDEX_NAMES = """
SHOW INDEXES YIELD name, state WHERE state <> 'FAILED' RETURN collect(name)
"""


def migrate(db: Neo4jConnection) -> None:
    """Raises StoreIncompatible for a schema that is newer than this program or was changed by hand."""
    steps = migrations_in("graph.stores.neo4j_migrations")
    if pending(steps, _applied(db)):
        _take_steps(db, steps)
    present = set(db.read(lambda run: [*value(run, _SCHEMA_NAMES)]) + db.read(lambda run: [*value(run, _INDEX_NAMES)]))
    missing = [name for step in steps for name in _SCHEMA.findall(step.text) if name not in present]
    if missing:
        raise StoreIncompatible(f"the store's schema was changed by hand: {', '.join(missing)} is missing or broken")


def _applied(db: Neo4jConnection) -> dict[int, str]:
    rows = db.read(lambda run: value(run, "MATCH (m:Migration) RETURN collect([m.number, m.checksum])"))
    return dict(rows)


def _take_steps(db: Neo4jConnection, steps: list[Migration]) -> None:
    for statement in _LOCK_SCHEMA:
        _change_schema(db, statement)
    owner = str(uuid.uuid4())
    end = time.monotonic() + _PATIENCE_SECONDS
    while not _take_lease(db, owner):
        if time.monotonic() > end:
            raise StoreUnavailable("another process has been changing the store's schema for a long time")
        time.sleep(0.5)
    for step in pending(steps, _applied(db)):
        _take_step(db, step, owner)
    db.write(lambda run: counters(run, _GIVE_LEASE_BACK, owner=owner))


def _take_step(db: Neo4jConnection, step: Migration, owner: str) -> None:
    for statement in step.statements:
        if _SCHEMA.match(statement):
            _take_lease(db, owner)
            _change_schema(db, statement)

    def change_data(run: Run) -> None:
        for statement in step.statements:
            if not _SCHEMA.match(statement):
                counters(run, statement)
        counters(
            run,
            "MERGE (m:Migration {number: $number}) SET m.name = $name, m.checksum = $checksum, m.at = datetime()",
            number=step.number,
            name=step.name,
            checksum=step.checksum,
        )

    db.read(lambda run: counters(run, "CALL db.awaitIndexes(50)"), _STEP_SECONDS)
    db.write(change_data, _STEP_SECONDS)


def _take_lease(db: Neo4jConnection, owner: str) -> bool:
    return bool(db.write(lambda run: value(run, _TAKE_LEASE, owner=owner, lease=_LEASE_MILLISECONDS)))


def _change_schema(db: Neo4jConnection, statement: str) -> None:
    db.write(lambda run: counters(run, statement), _STEP_SECONDS)
