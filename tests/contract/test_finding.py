"""What stores promise of lists and of the search."""

from graph.changes import AssetStatement, Withdrawal
from graph.keys import AssetKey, AssetKind
from graph.model import Attributes
from graph.stores.contract import Store
from tests.contract.given import AMOUNT, ORDERS, READS, REPORT, SCORES
from tests.saying import asset, key, say


def test_keys_lists_what_is_said_to_be_in_order_and_by_pages(store: Store) -> None:
    say(store, ORDERS, AMOUNT, READS, SCORES, asset("model_version:risk/fraud#%40champion", version="7"), now=100)
    listed = [AMOUNT, ORDERS, SCORES]
    assert store.keys(100) == listed, "stubs and aliases are not listed"
    assert store.keys(99) == []
    assert store.keys(100, limit=2) == listed[:2]
    assert store.keys(100, after=listed[0], limit=2) == listed[1:]
    assert store.keys(100, after=listed[2]) == []
    assert store.keys(100, after=key("dataset:a/never-heard")) == listed[1:]
    assert store.keys(100, kinds=[AssetKind.DEPLOYMENT, AssetKind.COLUMN]) == [AMOUNT, SCORES]
    assert store.keys(100, kinds=[AssetKind.DEPLOYMENT, AssetKind.COLUMN], after=AMOUNT) == [SCORES]
    say(store, Withdrawal(SCORES), now=200)
    assert store.keys(200) == [AMOUNT, ORDERS]
    assert store.keys(150) == listed


def test_kinds_whose_names_begin_alike_are_told_apart(store: Store) -> None:
    ordered = [key(text) for text in ("feature:a/v#f", "feature_view:a/v", "model:a/m", "model_version:a/m#1")]
    say(store, *ordered, now=100)
    assert store.keys(100) == ordered
    assert store.keys(100, kinds=[AssetKind.MODEL_VERSION, AssetKind.FEATURE]) == [ordered[0], ordered[3]]
    assert store.keys(100, kinds=[AssetKind.MODEL]) == [ordered[2]]
    assert store.keys(100, kinds=[AssetKind.FEATURE, AssetKind.FEATURE_VIEW], limit=1) == ordered[:1]


def test_search_finds_every_word_as_a_prefix_whatever_its_case_and_accents(store: Store) -> None:
    described: Attributes = {
        "description": 'Café orders; see AND(NOT) "that"* ~1',
        "tags": ["gold-tier"],
        "owners": [{"name": "Team Rocket"}],
    }
    say(store, AssetStatement(ORDERS, described), AMOUNT, REPORT, now=100)

    def found(text: str, *kinds: AssetKind) -> list[AssetKey]:
        return [hit.key for hit in store.search(text, kinds)]

    assert set(found("orders")) == {ORDERS, AMOUNT}
    assert found("orders", AssetKind.DATASET) == [ORDERS]
    assert found("CAFE") == found("café") == found("caf wareh") == found("rock gold") == [ORDERS]
    assert found("orders amount") == [AMOUNT]
    assert found(str(AMOUNT)) == [AMOUNT]
    assert found("and NOT that") == found('"caf*') == [ORDERS]
    assert found("caf OR nothing") == []
    assert found("rder") == found("orders nothing") == found("") == found(' - * " ~ /\\ ') == []


def test_search_goes_by_pages_with_ties_in_the_order_of_keys(store: Store) -> None:
    tables = [key(f"dataset:warehouse/t{number}") for number in range(7)]
    say(store, *tables, now=100)
    assert [hit.key for hit in store.search("warehouse", limit=3)] == tables[:3]
    assert [hit.key for hit in store.search("warehouse", limit=3, offset=3)] == tables[3:6]
    assert [hit.key for hit in store.search("warehouse", offset=7)] == []


def test_search_follows_what_is_said_now(store: Store) -> None:
    say(store, asset("dataset:warehouse/orders", description="apples"), READS, now=100)
    assert store.search("report") == [], "a stub is not found"
    say(store, asset("dataset:warehouse/orders", description="pears"), now=200)
    assert store.search("apples") == []
    assert [hit.key for hit in store.search("pears")] == [ORDERS]
    say(store, Withdrawal(ORDERS), now=300)
    assert store.search("pears") == []


def test_settling_follows_the_ends_and_starts_of_valid_time(store: Store) -> None:
    say(store, asset("dataset:warehouse/orders", since=100, until=200), now=100)
    say(store, asset("consumer:bi/report", since=150), now=100)
    assert [hit.key for hit in store.search("orders")] == [ORDERS]
    assert store.search("report") == []
    for now, expected in ((150, [REPORT, ORDERS]), (200, [REPORT])):
        store.settle(now)
        store.settle(now)
        assert [hit.key for text in ("report", "orders") for hit in store.search(text)] == expected
    assert store.head() == 2, "settling takes no revision"
    assert store.check() == []
