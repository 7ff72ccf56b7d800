"""Lists of objects, completed column by column: graphql-core takes 3 µs for a field of an object, and more for an async one.

A field of a list's objects is read for all of them at once where it is an attribute, a method without arguments, or a
field of `of_many`. Whatever else a selection holds, and whatever goes wrong, the list is left to graphql-core: it says
what the answer is, and tests compare the two. Which fields are selected (fragments, aliases, directives) is its word, too.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, TypeVar

import strawberry
from graphql import (
    GraphQLAbstractType,
    GraphQLEnumType,
    GraphQLField,
    GraphQLLeafType,
    GraphQLList,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLResolveInfo,
    get_named_type,
    is_abstract_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
)
from graphql.execution.collect_fields import FieldDetails
from graphql.pyutils import Path, gather_with_cancel
from graphql.type import GraphQLBoolean, GraphQLFloat, GraphQLID, GraphQLInt, GraphQLString
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.field import StrawberryField

SourceT = TypeVar("SourceT")
ValueT = TypeVar("ValueT")

_OF_MANY, _BRIEF = "of_many", "brief"
_SHORTEST = 8
"""Below that a plan costs more than it saves."""
_SLICE = 50
"""So many objects are completed by graphql-core before others have their turn: some 10 ms."""


def of_many(
    type_: object, description: str | None = None, brief: "tuple[Collection[str], _OfMany] | None" = None
) -> Callable[[Any], Any]:
    """A field that is resolved for many objects at once, by an async static method `(objects, context) -> values`.

    One for each object, in order. `type_` is that of one value. `brief`: where no other fields than these are selected of
    the values, this one resolves it, which may give the same list to several objects.
    """

    def field(resolve: "staticmethod[Any, Coroutine[Any, Any, Sequence[Any]]]") -> Any:
        async def one(self: Any, info: strawberry.Info[Any, None]) -> Any:
            return (await resolve([self], info.context))[0]

        return strawberry.field(
            resolver=one,
            graphql_type=type_,
            description=description,
            metadata={_OF_MANY: resolve.__func__, _BRIEF: brief},
        )

    return field


class _NotCovered(Exception):
    """The plan does not say what graphql-core would."""


_Column = list[Any]
_OfMany = Callable[[Sequence[Any], Any], Awaitable[Sequence[Any]]]
_Complete = Callable[[_Column], Awaitable[_Column]]


@dataclass(frozen=True)
class _Selected:
    """A field of the objects: how it is read of all of them, and how what is read becomes what is answered."""

    name: str
    read: Callable[[_Column], Awaitable[_Column]]
    complete: _Complete


class ListExecutor(StrawberryGraphQLCoreExecutionContext):
    """graphql-core's executor, faster with lists of objects. For `Schema(execution_context_class=...)`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._plans: dict[tuple[GraphQLObjectType, int], tuple[object, list[_Selected] | None]] = {}

    def complete_list_value(
        self,
        return_type: GraphQLList[GraphQLOutputType],
        field_details_list: list[FieldDetails],
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: Any,
        position_context: Any,
    ) -> Any:
        item = return_type.of_type
        item = item.of_type if is_non_null_type(item) else item
        if (
            type(result) is not list
            or len(result) < _SHORTEST
            or not (is_object_type(item) or is_abstract_type(item))
            or (self.middleware_manager is not None and self.middleware_manager.middlewares)
            or self.abort_signal is not None
        ):
            return super().complete_list_value(return_type, field_details_list, info, path, result, position_context)
        return self._completed_together(return_type, field_details_list, info, path, result, position_context)

    async def _completed_together(
        self,
        return_type: GraphQLList[GraphQLOutputType],
        details: list[FieldDetails],
        info: GraphQLResolveInfo[Any],
        path: Path,
        items: list[Any],
        position_context: Any,
    ) -> list[Any]:
        try:
            return await self._values(return_type.of_type, details, info)(items)
        except Exception:  # noqa: BLE001, S110  resolvers only read: graphql-core meets it again, and says where it stands
            pass
        item, completed = return_type.of_type, list[Any]()
        for start in range(0, len(items), _SLICE):
            waiting: dict[int, Any] = {}
            try:
                for place, each in enumerate(items[start : start + _SLICE], start):
                    at = path.add_key(place, None)
                    if self.complete_list_item_value(each, completed, item, details, info, at, position_context):
                        waiting[place] = completed[place]
            except Exception:
                self.settle_in_background([*waiting.values()])
                raise
            for place, value in zip(waiting, await gather_with_cancel(*waiting.values()), strict=True):
                completed[place] = value
            await asyncio.sleep(0)
        return completed

    # How a column of values of some type is completed

    def _values(
        self, type_: GraphQLOutputType, details: list[FieldDetails], info: GraphQLResolveInfo[Any]
    ) -> _Complete:
        """Raises _NotCovered, at once or when it is called."""
        if is_non_null_type(type_):
            complete = self._values(type_.of_type, details, info)

            async def all_there(column: _Column) -> _Column:
                if _holds_null(column):
                    raise _NotCovered
                return await complete(column)

            return all_there
        if is_leaf_type(type_):
            return _nullable(_leaves(type_))
        if is_list_type(type_):
            return _nullable(_flattened(self._values(type_.of_type, details, info)))
        if is_object_type(type_):
            return _nullable(self._objects(type_, details, info))
        if is_abstract_type(type_):
            return _nullable(self._by_class(type_, details, info))
        raise _NotCovered

    def _by_class(
        self, type_: GraphQLAbstractType, details: list[FieldDetails], info: GraphQLResolveInfo[Any]
    ) -> _Complete:
        """Objects of several types. The class decides: none of ours is cast."""

        def runtime_type(value: object) -> GraphQLObjectType:
            name = (type_.resolve_type or self.type_resolver)(value, info, type_)
            return self.ensure_valid_runtime_type(name, type_, details, info, value)

        async def complete(column: _Column) -> _Column:
            classes = {*map(type, column)}
            if len(classes) == 1:
                return await self._objects(runtime_type(column[0]), details, info)(column)
            places: dict[type, list[int]] = {class_: [] for class_ in classes}
            for place, value in enumerate(column):
                places[type(value)].append(place)
            completed: _Column = [None] * len(column)
            for of_class in places.values():
                some = [column[place] for place in of_class]
                values = await self._objects(runtime_type(some[0]), details, info)(some)
                for place, value in zip(of_class, values, strict=True):
                    completed[place] = value
            return completed

        return complete

    def _objects(
        self, type_: GraphQLObjectType, details: list[FieldDetails], info: GraphQLResolveInfo[Any]
    ) -> _Complete:
        fields = self._fields(type_, details, info)
        names = [field.name for field in fields]
        is_type_of = type_.is_type_of

        async def complete(column: _Column) -> _Column:
            if is_type_of is not None:
                one_of_each = {type(value): value for value in column}
                if not all(is_type_of(value, info) is True for value in one_of_each.values()):
                    raise _NotCovered
            if not names:
                return [{} for _ in column]
            columns = [await field.complete(await field.read(column)) for field in fields]
            if any(len(values) != len(column) for values in columns):
                raise _NotCovered
            return [dict(zip(names, row)) for row in zip(*columns)]  # noqa: B905  (checked: strict costs a third more)

        return complete

    def _fields(
        self, type_: GraphQLObjectType, details: list[FieldDetails], info: GraphQLResolveInfo[Any]
    ) -> list[_Selected]:
        key = type_, id(details)
        if key not in self._plans:
            # As in graphql-core's own memory of selections, the list is kept so that its id stays its own.
            self._plans[key] = details, self._planned(type_, details, info)
        plan = self._plans[key][1]
        if plan is None:
            raise _NotCovered
        return plan

    def _planned(
        self, type_: GraphQLObjectType, details: list[FieldDetails], info: GraphQLResolveInfo[Any]
    ) -> list[_Selected] | None:
        grouped, deferred, _ = self.collect_subfields(type_, details)
        plan = []
        for name, selected in grouped.items():
            field = self.schema.get_field(type_, selected[0].node.name.value)
            if field is None:
                continue
            read = self._reader(type_, field, selected)
            if read is None or deferred:
                return None
            try:
                plan.append(_Selected(name, read, self._values(field.type, selected, info)))
            except _NotCovered:
                return None
        return plan

    def _reader(
        self, type_: GraphQLObjectType, field: GraphQLField, selected: list[FieldDetails]
    ) -> Callable[[_Column], Awaitable[_Column]] | None:
        node = selected[0].node
        if node.name.value == "__typename":
            return _each(lambda _: type_.name)
        ours = field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
        if not isinstance(ours, StrawberryField) or ours.extensions or field.args or node.arguments:
            return None
        many = ours.metadata.get(_OF_MANY)
        if many is not None:
            context, brief = self.context_value, ours.metadata[_BRIEF]
            if brief is not None and self._names_below(field, selected) <= {*brief[0], "__typename"}:
                many = brief[1]
            return lambda column: many(column, context)
        resolver = ours.base_resolver
        if resolver is None:
            return _each(attrgetter(ours.python_name)) if ours.default_resolver is getattr else None
        if ours.is_async or resolver.info_parameter or resolver.parent_parameter or not resolver.self_parameter:
            return None
        method = resolver.wrapped_func
        return _each(method) if callable(method) else None

    def _names_below(self, field: GraphQLField, selected: list[FieldDetails]) -> set[str]:
        """The fields selected of the objects that `field` gives."""
        type_ = get_named_type(field.type)
        assert is_object_type(type_)
        grouped = self.collect_subfields(type_, selected)[0]
        return {details[0].node.name.value for details in grouped.values()}


def _each(read: Callable[[Any], Any]) -> Callable[[_Column], Awaitable[_Column]]:
    async def column(objects: _Column) -> _Column:
        return [*map(read, objects)]

    return column


def _leaves(type_: GraphQLLeafType) -> _Complete:
    is_plain = _PLAIN.get(type_.name) if type_ in _PLAIN_TYPES else None

    async def complete(column: _Column) -> _Column:
        if is_plain is not None and is_plain(column):
            return column
        if isinstance(type_, GraphQLEnumType):
            known = {value: ListExecutor.complete_leaf_value(type_, value) for value in {*column}}
            return [known[value] for value in column]
        return [ListExecutor.complete_leaf_value(type_, value) for value in column]

    return complete


def _texts(column: _Column) -> bool:
    return {*map(type, column)} == {str}


def _whole_numbers(column: _Column) -> bool:
    return {*map(type, column)} == {int} and -(2**31) <= min(column) <= max(column) < 2**31


def _numbers(column: _Column) -> bool:
    return {*map(type, column)} == {float} and all(map(math.isfinite, column))


def _truths(column: _Column) -> bool:
    return {*map(type, column)} == {bool}


_PLAIN: dict[str, Callable[[_Column], bool]] = {
    "String": _texts,
    "ID": _texts,
    "Int": _whole_numbers,
    "Float": _numbers,
    "Boolean": _truths,
}
"""Whether a whole column is of values that these scalars answer as they are."""
_PLAIN_TYPES = (GraphQLString, GraphQLID, GraphQLInt, GraphQLFloat, GraphQLBoolean)


def _holds_null(column: _Column) -> bool:
    return type(None) in {*map(type, column)}


def _nullable(complete: _Complete) -> _Complete:
    """Nulls stay; an error in the place of a value, or a value that is still to come, is not for us."""

    async def all_but_nulls(column: _Column) -> _Column:
        if not _holds_null(column):
            return await complete(column)
        places = [place for place, value in enumerate(column) if value is not None]
        completed: _Column = [None] * len(column)
        for place, value in zip(places, await complete([column[place] for place in places]), strict=True):
            completed[place] = value
        return completed

    return all_but_nulls


def _flattened(complete: _Complete) -> _Complete:
    """Lists as one column."""

    async def lists(column: _Column) -> _Column:
        if not {*map(type, column)} <= {list, tuple}:
            raise _NotCovered
        distinct = {id(values): values for values in column}
        if len(distinct) < len(column):
            completed = dict(zip(distinct, await lists([*distinct.values()]), strict=True))
            return [completed[id(values)] for values in column]
        flat = await complete([value for values in column for value in values])
        cut, start = [], 0
        for values in column:
            cut.append(flat[start : start + len(values)])
            start += len(values)
        return cut

    return lists
