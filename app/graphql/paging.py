"""Relay connections: pages with opaque cursors. `first` is at most 500."""

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Generic, TypeVar

import strawberry
from graphql import GraphQLError
from strawberry.relay import PageInfo

from app.graphql.limits import MAX_PAGE

NodeT = TypeVar("NodeT")


@strawberry.type(description="One item of a page.")
class Edge(Generic[NodeT]):
    cursor: str
    node: NodeT


@strawberry.type(description="A page of items, in the Relay form.")
class Connection(Generic[NodeT]):
    page_info: PageInfo
    edges: list[Edge[NodeT]]

    @strawberry.field(description="The items themselves, for clients that need no cursors.")
    def nodes(self) -> list[NodeT]:
        return [edge.node for edge in self.edges]


_NUMBER = re.compile("-?[0-9]{1,18}")


def encode_cursor(*parts: object) -> str:
    return base64.urlsafe_b64encode("\n".join(map(str, parts)).encode()).decode().rstrip("=")


def decode_cursor(cursor: str | None, parts: int) -> list[str] | None:
    """Raises GraphQLError for what this service did not hand out."""
    if cursor is None:
        return None
    try:
        found = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().split("\n")
    except (binascii.Error, ValueError):
        found = []
    if len(found) != parts:
        raise GraphQLError(f"{cursor[:100]!r} is not a cursor of this connection", extensions={"code": "BAD_CURSOR"})
    return found


def decode_offset(cursor: str | None) -> int:
    """The place after the cursor's item, in lists that are counted through."""
    parts = decode_cursor(cursor, 1)
    if parts is None:
        return 0
    return decode_number(parts[0], cursor) + 1


def decode_number(text: str, cursor: str | None) -> int:
    """Of a part of a cursor."""
    if not _NUMBER.fullmatch(text):
        raise GraphQLError(f"{cursor!r} is not a cursor of this connection", extensions={"code": "BAD_CURSOR"})
    return int(text)


def page_size(first: int) -> int:
    if not 0 <= first <= MAX_PAGE:
        raise GraphQLError(f"first is {first}; ask for 0 to {MAX_PAGE} at a time", extensions={"code": "BAD_PAGE_SIZE"})
    return first


def page(items: Sequence[tuple[str, NodeT]], more: bool, started: bool) -> Connection[NodeT]:
    """`items` are (cursor, node); `more`: there are further ones; `started`: there are earlier ones."""
    edges = [Edge(cursor=cursor, node=node) for cursor, node in items]
    return Connection(page_info=page_info([cursor for cursor, _ in items], more, started), edges=edges)


def page_info(cursors: Sequence[str], more: bool, started: bool) -> PageInfo:
    return PageInfo(
        has_next_page=more,
        has_previous_page=started,
        start_cursor=cursors[0] if cursors else None,
        end_cursor=cursors[-1] if cursors else None,
    )


def page_of_list(items: Sequence[NodeT], first: int, after: str | None) -> Connection[NodeT]:
    """A page of a list that is at hand."""
    start = decode_offset(after)
    end = start + page_size(first)
    return page(
        [(encode_cursor(place), item) for place, item in enumerate(items[start:end], start)],
        end < len(items),
        start > 0,
    )
