"""Lists that are completed column by column are, to the byte, what graphql-core makes of them."""

import asyncio
import copy
import inspect
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Any

import orjson
import pytest
import strawberry
from graphql.execution import Executor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strawberry.extensions import SchemaExtension
from strawberry.scalars import JSON
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from app.compose import furnish, now
from app.graphql.context import Context
from app.graphql.lists import ListExecutor, of_many
from app.graphql.schema import schema
from app.identity import OpenTokens
from app.metrics import Metrics
from app.service import Headwater
from app.settings import Settings
from graph.changes import AssetStatement
from graph.model import Json
from tests.graph.world import World, flow, k

HUB = "dataset:w/hub"


def answered(schema: strawberry.Schema, query: str, context: object, **variables: object) -> bytes:
    result = asyncio.run(schema.execute(query, context_value=context, variable_values=variables))
    return orjson.dumps({"data": result.data, "errors": [error.formatted for error in result.errors or ()]})


def compared(fast: strawberry.Schema, query: str, context: Callable[[], object], **variables: object) -> dict[str, Any]:
    """The answer, after a look at graphql-core's own."""
    plain = copy.copy(fast)
    plain.execution_context_class = StrawberryGraphQLCoreExecutionContext
    expected = answered(plain, query, context(), **variables)
    assert answered(fast, query, context(), **variables) == expected
    answer: dict[str, Any] = orjson.loads(expected)
    return answer


@pytest.fixture
def left_to_graphql_core(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The fields of the items that graphql-core completed one by one."""
    names: list[str] = []
    plain = Executor.complete_list_item_value

    def noting(self: Any, item: Any, results: Any, type_: Any, details: Any, *rest: Any) -> bool:
        if isinstance(self, ListExecutor):
            names.append(details[0].node.name.value)
        return plain(self, item, results, type_, details, *rest)

    monkeypatch.setattr(Executor, "complete_list_item_value", noting)
    return names


# The service's own schema


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Context]]:
    world = World(tmp_path_factory.mktemp("lists"))
    owners: list[Json] = [{"name": "zoe", "contact": "#a"}, {"name": "ann", "contact": "#z"}, {"name": "bob"}]
    world.register(AssetStatement(k(HUB), {"tags": ["hub"]}))
    for number in range(12):
        table = f"dataset:w/t{number}"
        about: dict[str, Any] = {"tags": [f"t{number % 2}"], "tier": 1 + number % 3, "description": "caf\u00e9"}
        world.register(
            AssetStatement(k(table), {"owners": owners[: number % 4], **about} if number % 3 else {}),
            AssetStatement(k(f"column:w/t{number}#nested.caf%C3%A9"), {"type": "text", "nullable": number % 2 == 0}),
            AssetStatement(
                k(f"consumer:caf%C3%A9/c{number}"),
                {"spelling": {"namespace": "cafe\u0301"}, "consumer_type": "service"},
            ),
            flow(HUB, table),
            flow(f"column:w/t{number}#nested.caf%C3%A9", f"consumer:caf%C3%A9/c{number}"),
            flow(table, f"deployment:prod/d{number % 5}"),
        )
    rooms = furnish(Settings(), now, Metrics())
    headwater, caller = Headwater(world.store, world.index, lambda: world.now), OpenTokens().anonymous
    assert caller is not None
    yield lambda: Context(headwater, caller, rooms)
    world.store.close()


SCALARS = ("id", "kind", "namespace", "name", "part", "title", "version", "stub", "description", "tags", "tier")
OTHERS = (
    "environment sourceLink",
    "owners { name }",
    "owners { name contact }",
    "owners { __typename who: name }",
    "container { id title }",
    "usage { calls }",
    "parts(first: 3) { nodes { id } }",
    "... on Column { type nullable }",
    "... on Consumer { consumerType verified }",
    "... on Dataset { columns { nodes { title tier } } }",
    "... F",
    "... @include(if: $yes) { again: id }",
    "tier @skip(if: $yes)",
    "assertions { origin basis validFrom attributes }",
)
FRAGMENT = "fragment F on Asset { __typename kind ... on Deployment { url serves { alias } } }"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.lists(st.sampled_from([*SCALARS, *OTHERS]), min_size=1, unique=True),
    st.lists(st.sampled_from(["cursor", "hops", "when", "partly", "stub", "far: hops"]), unique=True),
    st.booleans(),
    st.booleans(),
)
def test_pages_of_lineage_are_what_graphql_core_makes_of_them(
    context: Callable[[], Context], of_node: list[str], of_edge: list[str], yes: bool, flat: bool
) -> None:
    node = " ".join(of_node)
    page = (
        f"nodes {{ {node} }}" if flat else f"edges {{ {' '.join(of_edge)} node {{ {node} }} }} pageInfo {{ endCursor }}"
    )
    used = FRAGMENT if "... F" in of_node else ""
    query = f"query($yes: Boolean = true) {{ lineage(start: {HUB!r}) {{ ... on Lineage {{ total @skip(if: $yes) assets {{ {page} }} }} }} }} {used}"
    answer = compared(schema, query.replace("'", '"'), context, yes=yes)
    assert not answer["errors"]


def test_what_a_list_shows_is_read_column_by_column(
    context: Callable[[], Context], left_to_graphql_core: list[str]
) -> None:
    query = f"""{{ lineage(start: "{HUB}") {{ ... on Lineage {{ assets(first: 500) {{ edges {{ cursor hops when node {{
        {" ".join(SCALARS)} owners {{ name contact }} ... on Column {{ type }} ... on Consumer {{ consumerType }} }} }} }} }} }} }}"""
    compared(schema, query, context)
    assert left_to_graphql_core == []
    compared(schema, query.replace("hops", "hops node { usage { calls } }"), context)
    assert "edges" in left_to_graphql_core


# Whatever a schema may hold


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@strawberry.interface
class Thing:
    name: str | None


@strawberry.type
class Ball(Thing):
    colour: Any = strawberry.field(graphql_type=Colour)
    weight: Any = strawberry.field(graphql_type=float)
    bounces: Any = strawberry.field(graphql_type=int)
    bought: Any = strawberry.field(graphql_type=datetime | None)
    notes: Any = strawberry.field(graphql_type=JSON)

    @strawberry.field
    def doubled(self) -> int:
        return int(self.bounces * 2)

    @of_many(str)
    @staticmethod
    async def shout(balls: Sequence["Ball"], context: object) -> list[Any]:
        return [ball.name and ball.name.upper() for ball in balls]


@strawberry.type
class Box(Thing):
    things: Any = strawberry.field(graphql_type=list[Thing | None])
    deep: Any = strawberry.field(graphql_type=list[list[str | None]] | None)

    @strawberry.field
    def first(self, up_to: int = 1) -> list[Thing]:
        return list(self.things[:up_to])


def ball(number: int, **other: object) -> Ball:
    given: dict[str, Any] = {
        "name": f"ball {number}",
        "colour": Colour.RED,
        "weight": number / 4,
        "bounces": number,
        "bought": datetime(2026, 1, 1 + number % 28, tzinfo=UTC) if number % 2 else None,
        "notes": {"number": number},
    }
    return Ball(**given | other)


BALLS = [ball(number) for number in range(12)]
WRONG: dict[str, object] = {
    "a null where none may be": ball(5, colour=None),
    "a number too large for Int": ball(5, bounces=2**31),
    "no number": ball(5, bounces="five"),
    "infinity": ball(5, weight=float("inf")),
    "a whole number for a float": ball(5, weight=3),
    "a truth for an int": ball(5, bounces=True),
    "a colour that is none": ball(5, colour="green"),
    "a name that is none": ball(5, name=None),
    "a name that is a number": ball(5, name=5),
    "an error as a value": ball(5, name=ValueError("odd")),
    "no ball": object(),
    "nothing": None,
    "an error": ValueError("odd"),
    "another type": Box(name="box", things=[], deep=None),
}


@strawberry.type
class Toys:
    balls: list[Ball]
    maybe: list[Ball | None]
    things: list[Thing]
    either: list[Annotated[Ball | Box, strawberry.union("Either")]]


@strawberry.type
class Root:
    @strawberry.field
    def toys(self, info: strawberry.Info) -> Toys:
        return Toys(**dict.fromkeys(("balls", "maybe", "things", "either"), info.context))


TOYS = strawberry.Schema(Root, types=[Ball, Box], execution_context_class=ListExecutor)
EVERYTHING = "name doubled colour weight bounces bought notes shout __typename"


@pytest.mark.parametrize("wrong", [None, *WRONG])
@pytest.mark.parametrize(
    "query",
    [
        f"balls {{ {EVERYTHING} }}",
        f"maybe {{ {EVERYTHING} }}",
        f"things {{ name ... on Ball {{ {EVERYTHING} }} }}",
        f"either {{ ... on Ball {{ {EVERYTHING} }} ... on Box {{ name }} }}",
    ],
)
def test_errors_and_nulls_stand_where_graphql_core_puts_them(query: str, wrong: str | None) -> None:
    items = BALLS if wrong is None else [*BALLS[:5], WRONG[wrong], *BALLS[5:]]
    compared(TOYS, f"{{ toys {{ {query} }} }}", lambda: items)


@pytest.mark.parametrize("inner", [BALLS[:3], [*BALLS, None], (), [*BALLS, object()], None, "text"])
def test_lists_in_lists_are_what_graphql_core_makes_of_them(inner: object) -> None:
    boxes = [
        Box(name=f"box {number}", things=inner, deep=[["a", None], []] if number % 2 else None) for number in range(9)
    ]
    compared(
        TOYS, "{ toys { things { name ... on Box { things { name ... on Ball { bounces } } deep } } } }", lambda: boxes
    )
    compared(
        TOYS, "{ toys { things { ... on Box { first { name } more: first(upTo: 2) { __typename } } } } }", lambda: boxes
    )


def test_an_extension_that_wraps_resolvers_sees_each_of_them() -> None:
    class Seeing(SchemaExtension):
        seen = 0

        def resolve(self, _next: Any, root: Any, info: Any, *args: Any, **kwargs: Any) -> Any:
            Seeing.seen += info.field_name == "bounces"
            return _next(root, info, *args, **kwargs)

    watched = strawberry.Schema(Root, types=[Ball, Box], extensions=[Seeing], execution_context_class=ListExecutor)
    compared(watched, "{ toys { balls { bounces } } }", lambda: BALLS)
    assert Seeing.seen == 2 * len(BALLS)


def test_a_long_list_that_graphql_core_completes_lets_others_have_their_turn() -> None:
    boxes = [Box(name=f"box {number}", things=BALLS, deep=None) for number in range(400)]
    turns = 0

    async def run() -> None:
        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        other = asyncio.create_task(others())
        query = "{ toys { things { ... on Box { first(upTo: 1) { name } } } } }"
        assert not (await TOYS.execute(query, context_value=boxes)).errors
        other.cancel()

    asyncio.run(run())
    assert turns >= 8


def test_graphql_core_asks_for_lists_as_we_answer_them() -> None:
    """Its executor is no promise to others: a version that calls it otherwise would silently be slow, or wrong."""
    ours, theirs = (inspect.signature(each.complete_list_value) for each in (ListExecutor, Executor))
    assert [*ours.parameters] == [*theirs.parameters]
    for used in ("collect_subfields", "complete_list_item_value", "complete_leaf_value", "ensure_valid_runtime_type"):
        assert used in vars(Executor)
