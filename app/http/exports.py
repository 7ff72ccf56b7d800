"""Answers over plain HTTP, for large results and for drawing: lineage, and the graph as a whole.

    GET /api/v1/graph.jsonl      the graph as it is now, for `headwater check --graph` (graph/exported.py)

    GET /api/v1/lineage.ndjson   one JSON object a line: a header, the assets, a footer
    GET /api/v1/lineage.json     the columnar form
    GET /api/v1/lineage.arrow    the same as an Arrow IPC stream
    GET /api/v1/lineage.dot      Graphviz
    GET /api/v1/lineage.mmd      Mermaid

Those of lineage take the arguments of GraphQL's `lineage` as query parameters: start, direction, follow, depth, at, knownAt (a
revision or an instant), atLeastRevision, and, repeated for several values, basis, timing, origin, kind, namespace,
owner, tag, tier.
"""

from collections.abc import Callable, Coroutine, Iterator
from enum import StrEnum
from typing import TypeVar

import numpy as np
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from app.asking import Answer, Question, ask
from app.http.answers import refusal, refused
from app.http.departures import while_present
from app.http.tables import arrow_stream, json_document, json_lines
from app.service import Headwater, When
from graph.errors import GraphError, InvalidInput, quoted
from graph.exported import written
from graph.impact import When as Felt
from graph.keys import AssetKey, AssetKind
from graph.model import Basis, Timing
from graph.neighbours import arrows_among
from graph.summary import Table
from graph.time import parse_instant
from graph.walk import AssetFilter, Direction, FlowFilter, Follow

DRAWN_AT_MOST = 2_000
"""Assets in a drawing; beyond that a picture says nothing, and the answer is refused rather than cut."""

_Choice = TypeVar("_Choice", bound=StrEnum)


def routes(timeout_seconds: float) -> list[Route]:
    """Authentication has left `headwater` in the request's state. The time is that until an answer begins."""

    def route(name: str, respond: Callable[[Answer], Coroutine[object, object, Response]]) -> Route:
        async def answered(request: Request) -> Response:
            headwater: Headwater = request.state.headwater
            return await respond(await ask(headwater, _question(request), _asked(request)))

        async def endpoint(request: Request) -> Response:
            try:
                return await while_present(request, answered(request), timeout_seconds)
            except GraphError as error:
                return refused(error)
            except TimeoutError:
                return refusal(503, f"no answer within {timeout_seconds:g} s", "TIMEOUT")

        return Route(f"/api/v1/lineage.{name}", endpoint, methods=["GET"])

    def table(name: str, media_type: str, form: Callable[[Table], Iterator[bytes]]) -> Route:
        async def respond(answer: Answer) -> Response:
            return StreamingResponse(answer.pieces(form(await answer.table())), media_type=media_type)

        return route(name, respond)

    def drawing(name: str, media_type: str, draw: Callable[[Table], str]) -> Route:
        async def respond(answer: Answer) -> Response:
            return PlainTextResponse(await answer.run(draw, await answer.table()), media_type=media_type)

        return route(name, respond)

    async def graph(request: Request) -> Response:
        headwater: Headwater = request.state.headwater
        lines = headwater.in_pieces(written(headwater.store, headwater.clock()), large=True)
        return StreamingResponse(lines, media_type="application/jsonl")

    return [
        Route("/api/v1/graph.jsonl", graph, methods=["GET"]),
        table("json", "application/json", json_document),
        table("ndjson", "application/x-ndjson", json_lines),
        table("arrow", "application/vnd.apache.arrow.stream", arrow_stream),
        drawing("dot", "text/vnd.graphviz", dot),
        drawing("mmd", "text/vnd.mermaid", mermaid),
    ]


def _drawn(table: Table) -> tuple[list[AssetKey], list[tuple[AssetKey, AssetKey, Timing]], dict[AssetKey, Felt]]:
    lineage = table.lineage
    if len(table.rows) > DRAWN_AT_MOST:
        raise InvalidInput(
            f"{len(table.rows)} assets are too many to draw; at most {DRAWN_AT_MOST}: select some, or limit the depth",
            len(table.rows),
        )
    start = lineage.view.number(lineage.start)
    numbers = np.concatenate([[start], lineage.assets[table.rows]]).astype(np.int64)
    keys = [lineage.view.key(number) for number in numbers.tolist()]
    felt = {keys[place + 1]: Felt(int(table.felt[row])) for place, row in enumerate(table.rows.tolist())}
    key = lineage.view.key
    arrows = arrows_among(lineage.view, numbers, lineage.moment)
    return keys, [(key(arrow.source), key(arrow.target), arrow.timing) for arrow in arrows], felt


def dot(table: Table) -> str:
    """Graphviz: a cluster for each container with parts in the answer; BUILT flows dashed."""
    keys, arrows, felt = _drawn(table)
    name = {key: f"n{place}" for place, key in enumerate(keys)}

    def node(key: AssetKey) -> str:
        style = ', style="rounded,dashed"' if felt.get(key) is Felt.NEXT_TRAINING else ""
        return f"{name[key]} [label={_quoted(_label(key))}{style}];"

    lines = ["digraph lineage {", "  rankdir=LR;", '  node [shape=box, style=rounded, fontname="sans-serif"];']
    for container, members in _clusters(keys):
        if container is None:
            lines += [f"  {node(key)}" for key in members]
        else:
            lines += [f"  subgraph cluster_{name[members[0]]} {{", f"    label={_quoted(_label(container))};"]
            lines += [f"    {node(key)}" for key in members]
            lines.append("  }")
    for source, target, timing in arrows:
        lines.append(f"  {name[source]} -> {name[target]}{' [style=dashed]' if timing is Timing.BUILT else ''};")
    return "\n".join([*lines, "}", ""])


def mermaid(table: Table) -> str:
    """A Mermaid flowchart; BUILT flows dotted."""
    keys, arrows, _ = _drawn(table)
    name = {key: f"n{place}" for place, key in enumerate(keys)}
    lines = ["flowchart LR"]
    for container, members in _clusters(keys):
        if container is None:
            lines += [f'  {name[key]}["{_escaped(_label(key))}"]' for key in members]
        else:
            lines.append(f'  subgraph s{name[members[0]]}["{_escaped(_label(container))}"]')
            lines += [f'    {name[key]}["{_escaped(_label(key))}"]' for key in members]
            lines.append("  end")
    for source, target, timing in arrows:
        lines.append(f"  {name[source]} {'-.->' if timing is Timing.BUILT else '-->'} {name[target]}")
    return "\n".join([*lines, ""])


def _clusters(keys: list[AssetKey]) -> list[tuple[AssetKey | None, list[AssetKey]]]:
    parts: dict[AssetKey | None, list[AssetKey]] = {}
    for key in keys:
        parts.setdefault(key.container, []).append(key)
    for key in keys:
        if key in parts:  # a container in the answer stands in its own cluster
            parts[key].insert(0, key)
            parts[None].remove(key)
    return list(parts.items())


def _label(key: AssetKey) -> str:
    return f"{key.kind.replace('_', ' ')} {key.part or key.name}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _escaped(text: str) -> str:
    return "".join(f"#{ord(char)};" if char in '"<>&#;`[]{}|\\' else char for char in text)


def _question(request: Request) -> Question:
    given = request.query_params
    if "start" not in given:
        raise InvalidInput("the query parameter start is missing: the key of the asset to begin at")
    depth = given.get("depth")
    if depth is not None and not (depth.isascii() and depth.isdigit()):
        raise InvalidInput(f"depth is {quoted(depth)}, not a whole number from 0", depth)
    return Question(
        start=AssetKey.parse(given["start"]),
        direction=_choice(Direction, "direction", given.get("direction", Direction.DOWNSTREAM)),
        follow=_choice(Follow, "follow", given.get("follow", Follow.VALUES)),
        flows=FlowFilter(
            tuple(_choice(Basis, "basis", text) for text in given.getlist("basis")),
            tuple(_choice(Timing, "timing", text) for text in given.getlist("timing")),
            tuple(given.getlist("origin")),
        ),
        select=AssetFilter(
            tuple(_choice(AssetKind, "kind", text) for text in given.getlist("kind")),
            tuple(given.getlist("namespace")),
            tuple(given.getlist("owner")),
            tuple(given.getlist("tag")),
            tuple(_tier(text) for text in given.getlist("tier")),
        ),
        depth=None if depth is None else int(depth),
    )


def _asked(request: Request) -> When:
    given = request.query_params
    known_at, least = given.get("knownAt"), given.get("atLeastRevision", "0")
    if not (least.isascii() and least.isdigit()):
        raise InvalidInput(f"atLeastRevision is {quoted(least)}, not a revision", least)
    is_revision = known_at is not None and known_at.isascii() and known_at.isdigit()
    return When(
        at=parse_instant(given["at"]) if "at" in given else None,
        known_at_revision=int(known_at) if known_at and is_revision else None,
        known_at_instant=parse_instant(known_at) if known_at and not is_revision else None,
        at_least_revision=int(least),
    )


def _tier(text: str) -> int:
    if text not in {"1", "2", "3", "4"}:
        raise InvalidInput(f"tier is {quoted(text)}; it is 1 (most critical) to 4", text)
    return int(text)


def _choice(choices: type[_Choice], name: str, text: str) -> _Choice:
    try:
        return choices(text) if text in list(choices) else choices[text.upper()]
    except KeyError:
        raise InvalidInput(
            f"{name} is {quoted(text)}; it is one of {', '.join(choice.value for choice in choices)}", text
        ) from None
