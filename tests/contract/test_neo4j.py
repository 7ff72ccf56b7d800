"""What only the Neo4j store can get wrong: the network, foreign writes, its schema, and the graph that people see."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from urllib.parse import urlsplit

import pytest
from neo4j import Driver

from graph.changes import AssetStatement, FlowStatement, Receipt, Withdrawal
from graph.errors import InvalidInput, StoreIncompatible, StoreUnavailable
from graph.messages import Message
from graph.model import FLOWS, Basis, Relationship
from graph.plan import plan_registration
from graph.stores.migrations import migrations_in
from graph.stores.neo4j import Neo4jStore
from graph.stores.neo4j_connection import Neo4jAddress
from graph.time import DAY
from graph.usage import Usage
from tests.patience import within
from tests.saying import asset, flow, key, operation, registration, say
from tests.stores import cypher
from tests.wire import Wire, wire_to

server = [pytest.mark.neo4j]

ORDERS, AMOUNT = key("dataset:w/orders"), key("column:w/orders#amount")
READS = flow("column:w/orders#amount", "consumer:bi/report")
DEADLINE, PATIENCE = 5.0, 60.0


@pytest.fixture
def person(neo4j_url: str) -> Iterator[Driver]:
    with cypher(neo4j_url) as driver:
        yield driver


@pytest.fixture
def wire(neo4j_url: str, neo4j: Neo4jStore) -> Iterator[Wire]:
    """To the server of `neo4j`, which is emptied."""
    parts = urlsplit(neo4j_url)
    with wire_to(parts.hostname or "", parts.port or 7687) as wire:
        yield wire


@pytest.fixture
def far(wire: Wire, neo4j_url: str) -> Iterator[Neo4jStore]:
    """A store at the other end of `wire`, patient with a server that is not warm yet."""
    yield from at_the_end_of(wire, neo4j_url, PATIENCE)


@pytest.fixture
def hasty(wire: Wire, neo4j_url: str) -> Iterator[Neo4jStore]:
    yield from at_the_end_of(wire, neo4j_url, DEADLINE)


def at_the_end_of(wire: Wire, neo4j_url: str, deadline: float) -> Iterator[Neo4jStore]:
    """The scheme bolt does not ask the server for its address."""
    credentials = urlsplit(neo4j_url).netloc.rpartition("@")[0]
    store = Neo4jStore(f"bolt://{credentials}{'@' * bool(credentials)}127.0.0.1:{wire.port}", request_deadline=deadline)
    yield store
    wire.close()
    store.close()


class TestNetwork:
    pytestmark = server

    def test_a_lost_answer_to_commit_has_one_effect_and_the_same_answer(self, wire: Wire, far: Neo4jStore) -> None:
        wire.cut_commits = 1
        assert say(far, ORDERS, READS, now=100, by=operation("1")) == Receipt(1, changed=True, added=2)
        assert wire.cut_commits == 0
        assert far.head() == 1
        assert far.check() == []

    def test_a_lost_answer_to_counting_counts_once(self, wire: Wire, far: Neo4jStore) -> None:
        used = Usage(ORDERS, None, False, day=0, calls=3, errors=0, first=10, last=20)
        wire.cut_commits = 1
        far.count([used], "recorder", 1)
        assert wire.cut_commits == 0
        assert not far.count([used], "recorder", 1)
        assert far.usage([ORDERS], 0) == [used]

    def test_without_an_operation_id_a_lost_answer_is_an_unknown_outcome(self, wire: Wire, far: Neo4jStore) -> None:
        changes = plan_registration(far, registration(ORDERS), 100)
        wire.cut_commits = 1
        with pytest.raises(StoreUnavailable, match="unknown"):
            far.commit(changes, operation(), 100)
        assert far.head() == 1
        assert say(far, ORDERS, now=100) == Receipt(1, changed=False)

    def test_a_mute_server_is_an_error_in_time_and_the_store_recovers(
        self, wire: Wire, far: Neo4jStore, hasty: Neo4jStore
    ) -> None:
        say(far, ORDERS, now=100)
        wire.mute = True
        for call in (hasty.head, lambda: hasty.believed([ORDERS]), lambda: say(hasty, AMOUNT, now=200)):
            start = time.monotonic()
            with pytest.raises(StoreUnavailable, match="answer"):
                call()
            assert time.monotonic() - start < DEADLINE + 1
        wire.mute = False
        assert hasty.head() == 1
        assert say(far, AMOUNT, now=300).revision == 2
        assert far.check() == []

    def test_a_server_that_is_not_there_is_an_error_in_time(self) -> None:
        start = time.monotonic()
        with pytest.raises(StoreUnavailable):
            Neo4jStore("neo4j://neo4j:secret@127.0.0.1:9", request_deadline=DEADLINE)
        assert time.monotonic() - start < DEADLINE + 1


class TestReplicas:
    pytestmark = server

    def test_two_services_on_one_server_follow_one_another(self, neo4j: Neo4jStore, neo4j_url: str) -> None:
        with closing(Neo4jStore(neo4j_url, request_deadline=PATIENCE)) as other:

            def write(number: int) -> list[str]:
                store = (neo4j, other)[number % 2]
                say(store, key(f"dataset:w/t{number}"), now=100, messages=(Message(f"{number}", "told", {}),))
                return [each.message.id for each in store.lease(100, 200)]

            with ThreadPoolExecutor(8) as pool:
                leased = [id_ for ids in pool.map(write, range(24)) for id_ in ids]
            assert sorted(leased, key=int) == [str(number) for number in range(24)]
            assert neo4j.head() == other.head() == 24
            assert neo4j.check() == []

    def test_what_is_told_from_memory_is_what_is_told_from_the_database(
        self, neo4j: Neo4jStore, neo4j_url: str
    ) -> None:
        with closing(Neo4jStore(neo4j_url, request_deadline=PATIENCE)) as other:
            assert other.changes_since(-1) == []
            say(neo4j, asset(str(ORDERS), since=100, tier=1), READS, now=100, by=operation("1"))
            say(other, asset(str(ORDERS), tier=2), now=200, origin="b")
            say(neo4j, asset(str(ORDERS), since=100, tier=3), AMOUNT, now=300)
            say(neo4j, Withdrawal(AMOUNT, at=300), Withdrawal(READS), now=400)
            say(other, Withdrawal(ORDERS), now=500, origin="b")
            say(neo4j, Withdrawal(ORDERS, at=100), now=600)
        with closing(Neo4jStore(neo4j_url, request_deadline=PATIENCE)) as fresh:
            from_the_database = fresh.changes_since(0)
            for since in range(7):
                assert neo4j.changes_since(since) == from_the_database[since:]
                assert fresh.changes_since(since, 2) == from_the_database[since : since + 2]
        tiers = [
            {key: [each.attributes.get("tier") for each in spans] for key, spans in revision.said.items()}
            for revision in from_the_database
        ]
        assert tiers == [
            {ORDERS: [1]}, {ORDERS: [1, 2]}, {ORDERS: [3, 2], AMOUNT: [None]}, {AMOUNT: []}, {ORDERS: [3, 2]}, {ORDERS: [2]}
        ]  # fmt: skip

    def test_a_writer_that_stalls_with_the_lock_is_ended_and_others_go_on(
        self, neo4j: Neo4jStore, wire: Wire, hasty: Neo4jStore
    ) -> None:
        say(neo4j, ORDERS, now=100)
        wire.mute_before_commit = True
        with ThreadPoolExecutor(1) as pool:
            stalled = pool.submit(say, hasty, AMOUNT, now=200, by=operation("stalled"))
            within(DEADLINE, lambda: wire.mute)
            retried = say(neo4j, AMOUNT, now=300, by=operation("stalled"))
            with pytest.raises(StoreUnavailable, match="answer"):
                stalled.result()
        wire.mute = False
        assert retried == Receipt(2, changed=True, added=1)
        assert within(PATIENCE, lambda: say(hasty, AMOUNT, now=400, by=operation("stalled"))) == retried
        assert neo4j.head() == 2
        assert neo4j.check() == []


class TestWhatPeopleSee:
    pytestmark = server

    def test_a_flow_is_one_relationship_whoever_says_it(self, neo4j: Neo4jStore, person: Driver) -> None:
        say(neo4j, READS, now=2_000_000, origin="b")
        say(neo4j, READS, now=3_000_000, origin="a", basis=Basis.OBSERVED)
        (record,) = person.execute_query("MATCH (s)-[f]->(t) WHERE type(f) <> 'PART_OF' RETURN s, f, t").records
        shown = record["f"]
        assert (shown.type, shown["basis"], shown["timing"], shown["origins"]) == (
            "READ_BY",
            "DECLARED",
            "LIVE",
            ["a", "b"],
        )
        assert shown["since"].iso_format() == "1970-01-01T00:00:02.000000000+00:00"
        say(neo4j, Withdrawal(READS), now=4_000_000, origin="b")
        (record,) = person.execute_query("MATCH ()-[f:READ_BY]->() RETURN f.basis, f.origins").records
        assert list(record) == ["OBSERVED", ["a"]]
        say(neo4j, Withdrawal(READS), now=5_000_000, origin="a")
        assert person.execute_query("MATCH ()-[f]->() RETURN f").records == []

    def test_assets_show_their_attributes_and_stubs_are_marked(self, neo4j: Neo4jStore, person: Driver) -> None:
        said = {"tags": ["pii"], "tier": 1, "owners": [{"name": "a", "contact": "x"}], "key": "odd", "deep": {"a": [1]}}
        say(neo4j, AssetStatement(ORDERS, said), READS, now=100)  # type: ignore[arg-type]
        assert _seen(person) == {
            str(ORDERS): {"Asset", "Dataset"},
            str(AMOUNT): {"Asset", "Column", "stub"},
            "consumer:bi/report": {"Asset", "Consumer", "stub"},
        }
        (node,) = person.execute_query("MATCH (d:Dataset) RETURN d").records[0]
        shown = {
            name: node[name] for name in ("tags", "tier", "owners", "attribute_key", "deep", "asset_version", "name")
        }
        assert shown == {
            "tags": ["pii"], "tier": 1, "owners": ["a"], "attribute_key": "odd", "deep": '{"a":[1]}',
            "asset_version": 1, "name": "orders",
        }  # fmt: skip

    def test_what_is_gone_is_withdrawn_and_comes_back(self, neo4j: Neo4jStore, person: Driver) -> None:
        say(neo4j, ORDERS, AMOUNT, READS, now=100)
        say(neo4j, Withdrawal(ORDERS), now=200)
        assert _seen(person) == {
            str(ORDERS): {"Withdrawn"}, str(AMOUNT): {"Withdrawn"}, "consumer:bi/report": {"Withdrawn"}
        }  # fmt: skip
        say(neo4j, AMOUNT, now=300)
        assert _seen(person)[str(ORDERS)] == {"Asset", "Dataset", "stub"}, "a part of it is there"
        assert _seen(person)[str(AMOUNT)] == {"Asset", "Column"}

    def test_settling_moves_flows_assets_and_aliases(self, neo4j: Neo4jStore, person: Driver) -> None:
        alias = "model_version:r/fraud#%40champion"
        say(neo4j, asset(alias, since=100, version="7"), now=100)
        say(neo4j, asset(alias, since=200, version="8"), now=100)
        later = registration(asset("deployment:r/scores", since=150, until=250))
        neo4j.commit(plan_registration(neo4j, later, 100), operation(), 100)
        named = "MATCH (v)-[:ALIASED_AS]->(:Alias) RETURN collect(v.part)"
        assert person.execute_query(named).records[0][0] == ["7"]
        assert _seen(person)["deployment:r/scores"] == {"Withdrawn"}
        neo4j.settle(200)
        assert person.execute_query(named).records[0][0] == ["8"]
        assert _seen(person)["deployment:r/scores"] == {"Asset", "Deployment"}
        assert _seen(person)["model_version:r/fraud#7"] == {"Withdrawn"}
        neo4j.settle(250)
        assert _seen(person)["deployment:r/scores"] == {"Withdrawn"}
        assert neo4j.check() == []

    def test_a_flow_shows_how_much_it_is_used(self, neo4j: Neo4jStore, person: Driver) -> None:
        calls, day = flow("deployment:r/scores", "consumer:web/shop"), 20_000
        at = day * DAY

        def used(day: int, calls_made: int, verified: bool = True) -> Usage:
            first = day * DAY
            return Usage(calls.source, calls.target, verified, day, calls_made, 0, first, first + 1_500_000)

        assert neo4j.count([used(day - 3, 2)], "a", 1), "nobody has told of the flow yet"
        say(neo4j, calls, now=at)
        other = Usage(calls.source, None, False, day, 9, 0, at, at + 9)
        assert neo4j.count([used(day, 5), used(day, 1, verified=False), used(day - 40, 99), other], "a", 2)
        say(neo4j, calls, now=at + 1, origin="b")
        neo4j.settle(at + 2)
        (record,) = person.execute_query("MATCH ()-[f:CALLED_BY]->() RETURN f").records
        shown = record["f"]
        assert (shown["calls_per_day"], shown["origins"]) == ((2 + 5 + 1) / 4, ["api:alice", "b"])
        assert shown["last_seen"].iso_format() == "2024-10-04T00:00:01.500000000+00:00"
        assert person.execute_query("MATCH (:Usage|Counter)--() RETURN count(*)").records[0][0] == 0
        assert neo4j.check() == []

    def test_an_alert_is_tied_to_what_it_is_about(self, neo4j: Neo4jStore, person: Driver) -> None:
        about = "MATCH (a:Alert)-[:ABOUT]->(b) RETURN collect(a.name + ' ' + b.key)"
        say(neo4j, AMOUNT, asset("alert:default/one", about=str(AMOUNT), state="OPEN"), now=100)
        assert person.execute_query(about).records[0][0] == [f"one {AMOUNT}"]
        assert _seen(person)["alert:default/one"] == {"Asset", "Alert"}
        say(neo4j, ORDERS, asset("alert:default/one", about=str(ORDERS)), now=200)
        say(neo4j, asset("alert:default/two", about="dataset:never/heard"), now=200)
        assert person.execute_query(about).records[0][0] == [f"one {ORDERS}"]
        say(neo4j, Withdrawal(key("alert:default/one")), now=300)
        assert person.execute_query(about).records[0][0] == []
        assert _seen(person)["alert:default/one"] == {"Withdrawn"}
        assert neo4j.check() == []

    def test_settling_counts_the_flows_that_came_and_went(self, neo4j: Neo4jStore) -> None:
        say(neo4j, FlowStatement(READS, since=150, until=250), now=100)
        assert [neo4j.settle(now) for now in (149, 150, 200, 250, 300)] == [0, 1, 0, 1, 0]


class TestForeignWrites:
    pytestmark = server

    @pytest.mark.parametrize(
        ("write", "finding"),
        [
            ("MATCH (a:Dataset), (b:Consumer) CREATE (a)-[:READ_BY {id: 'mine'}]->(b)", "asserted by nobody"),
            ("MATCH (a:Dataset), (b:Consumer) CREATE (a)-[:READ_BY]->(b)", "asserted by nobody"),
            ("MATCH ()-[f:READ_BY]->() DELETE f", "holds and is not shown"),
            ("CREATE (:Dataset {name: 'mine'})", "was not written by this service"),
            ("MATCH (k:Dataset) REMOVE k.key", "has lost its key"),
            ("MATCH (x:Assertion) WHERE x.target IS NOT NULL DELETE x", "revision 1 opened 2 assertions"),
            ("MATCH (r:Revision {number: 1}) DELETE r", "revision 1 is missing"),
            ("CREATE (:Message {id: 'mine', revision: 9})", "message mine names a revision after the last, 2"),
            ("CREATE (:Usage {source: 's', day: 1, calls: 1})", "usage of s by nobody known on day 1"),
            ("MATCH (a:Dataset), ()-[f:READ_BY]->(b) CREATE (a)-[g:FEEDS]->(b) SET g = f", "joins other assets"),
        ],
    )
    def test_check_names_them(self, neo4j: Neo4jStore, person: Driver, write: str, finding: str) -> None:
        say(neo4j, ORDERS, READS, now=100)
        say(neo4j, AMOUNT, now=200)
        assert neo4j.check() == []
        person.execute_query(write)
        assert any(finding in sentence for sentence in neo4j.check()), neo4j.check()


class TestSchema:
    pytestmark = server

    def test_a_newer_schema_is_refused(self, neo4j: Neo4jStore, neo4j_url: str, person: Driver) -> None:
        person.execute_query("CREATE (:Migration {number: 99, name: 'later', checksum: ''})")
        try:
            with pytest.raises(StoreIncompatible, match="99"):
                Neo4jStore(neo4j_url)
        finally:
            person.execute_query("MATCH (m:Migration {number: 99}) DELETE m")

    def test_a_schema_changed_by_hand_is_refused(self, neo4j: Neo4jStore, neo4j_url: str, person: Driver) -> None:
        person.execute_query("DROP INDEX revision_at")
        try:
            with pytest.raises(StoreIncompatible, match="revision_at"):
                Neo4jStore(neo4j_url)
        finally:
            person.execute_query("CREATE INDEX revision_at IF NOT EXISTS FOR (r:Revision) ON (r.at)")


def test_every_type_of_flow_has_its_constraint() -> None:
    schema = "".join(step.text for step in migrations_in("graph.stores.neo4j_migrations"))
    assert all(f"CONSTRAINT {kind.lower()}_id " in schema for kind in Relationship)
    assert {found.relationship for found in FLOWS.values()} == set(Relationship)


@pytest.mark.parametrize(
    ("url", "uri", "user", "password", "database"),
    [
        ("neo4j://localhost", "neo4j://localhost", None, "", None),
        ("bolt://me:p%40ss%2F@h:7687/lineage", "bolt://h:7687", "me", "p@ss/", "lineage"),
        ("neo4j+s://me:x@abc.databases.neo4j.io", "neo4j+s://abc.databases.neo4j.io", "me", "x", None),
        ("bolt+s://[::1]:7687/", "bolt+s://[::1]:7687", None, "", None),
    ],
)
def test_urls(url: str, uri: str, user: str | None, password: str, database: str | None) -> None:
    address = Neo4jAddress.parse(url)
    assert address == Neo4jAddress(uri, user, password, database)
    assert not password or password not in repr(address)


@pytest.mark.parametrize("url", ["http://me:secret@localhost", "neo4j://", "me:secret", "neo4j://me:secret@h:port"])
def test_urls_that_are_none_are_refused_without_the_password(url: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        Neo4jAddress.parse(url)
    assert "secret" not in str(refusal.value)


def _seen(person: Driver) -> dict[str, set[str]]:
    records = person.execute_query("MATCH (k:Key) RETURN k.key, labels(k), k.stub").records
    return {text: {*labels} - {"Key"} | ({"stub"} if stub else set()) for text, labels, stub in records}
