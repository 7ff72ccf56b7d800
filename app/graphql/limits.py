"""What one operation may ask for, and what an error may tell.

Strawberry's own depth and alias limiters are left out on purpose: they expand every fragment
spread, which takes exponential time. The cost here is counted once per fragment.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLArgument,
    GraphQLError,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    is_list_type,
    is_non_null_type,
)
from strawberry.extensions import MaskErrors, MaxTokensLimiter, SchemaExtension
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError

MAX_TOKENS = 2_000
MAX_COST = 30_000
MAX_DEPTH = 30
MAX_PAGE = 1_000
"""The largest page a field serves, and the size assumed for one that names none and has no default."""
LIST_SIZE = 10
"""The size assumed for a list which is not a page."""
PAGE_ARGUMENTS = ("first", "last", "limit")

_CEILING = 10**9
_MOST_KNOWN = 256
_LONGEST_KNOWN = 10_000
"""Characters of a document that is remembered: at most some 100 MB in all, as nodes."""

SCHEMA_CONFIG = StrawberryConfig(disable_field_suggestions=True, relay_max_results=MAX_PAGE)


class CostLimiter(SchemaExtension):
    """Refuse an operation by its cost, before the time for its validation is spent."""

    def __init__(self, max_cost: int = MAX_COST) -> None:
        self.max_cost = max_cost

    def on_validate(self) -> Iterator[None]:
        context = self.execution_context
        if context.graphql_document is not None and context.pre_execution_errors is None:
            try:
                cost = operation_cost(context.schema._schema, context.graphql_document, context.variables or {})
                if cost > self.max_cost:
                    raise GraphQLError(
                        f"The operation may touch {cost} fields, more than the limit of "
                        f"{self.max_cost}: ask for fewer, or for smaller pages",
                        extensions={"code": "TOO_COSTLY"},
                    )
            except GraphQLError as error:
                context.pre_execution_errors = [error]
        yield


class KnownDocuments(SchemaExtension):
    """Parses and validates a document once, not at every request: clients send few different ones, again and again.

    After `CostLimiter`, which counts anew each time: the cost depends on variables.
    """

    def __init__(self, known: OrderedDict[str, DocumentNode]) -> None:
        self._known = known

    def on_parse(self) -> Iterator[None]:
        self.execution_context.graphql_document = self._known.get(self.execution_context.query or "")
        yield

    def on_validate(self) -> Iterator[None]:
        context, text = self.execution_context, self.execution_context.query or ""
        if text in self._known and context.pre_execution_errors is None:
            self._known.move_to_end(text)
            context.pre_execution_errors = []
        yield
        if not context.pre_execution_errors and context.graphql_document is not None and len(text) <= _LONGEST_KNOWN:
            self._known[text] = context.graphql_document
            if len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)


def operation_cost(schema: GraphQLSchema, document: DocumentNode, variables: Mapping[str, object]) -> int:
    """The number of fields the costliest operation of a document may resolve.

    A field costs 1 plus its selection times the number of objects it may give. The document
    need not be valid: unknown names count as single objects, and cycles of fragments end.
    """
    return max(
        (
            _Cost(schema, document, definition, variables).total()
            for definition in document.definitions
            if isinstance(definition, OperationDefinitionNode)
        ),
        default=0,
    )


class _Cost:
    def __init__(
        self,
        schema: GraphQLSchema,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        variables: Mapping[str, object],
    ) -> None:
        self.schema = schema
        self.operation = operation
        self.fragments = {
            definition.name.value: definition
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }
        self.variables = {
            definition.variable.name.value: _integer(definition.default_value.value)
            for definition in operation.variable_definitions or ()
            if isinstance(definition.default_value, IntValueNode)
        }
        for name, value in variables.items():
            if isinstance(value, int):
                self.variables[name] = value
        self.known: dict[tuple[str, bool], tuple[int, int]] = {}

    def total(self) -> int:
        root = self.schema.get_root_type(self.operation.operation)
        return self._selection(self.operation.selection_set, root, False, 0)[0]

    def _selection(
        self,
        selections: SelectionSetNode | None,
        parent: GraphQLNamedType | None,
        in_page: bool,
        depth: int,
    ) -> tuple[int, int]:
        """The cost and the height of a selection set. `in_page`: the parent is a page, whose
        size has been counted, so that its lists (`edges`, `nodes`) do not count again."""
        if depth > MAX_DEPTH:
            raise _too_deep()
        cost = height = 0
        for selection in selections.selections if selections else ():
            if isinstance(selection, FieldNode):
                inner = self._field(selection, parent, in_page, depth)
            elif isinstance(selection, FragmentSpreadNode):
                inner = self._spread(selection.name.value, in_page, depth)
            elif isinstance(selection, InlineFragmentNode):
                condition = selection.type_condition
                narrowed = self.schema.get_type(condition.name.value) if condition else parent
                inner = self._selection(selection.selection_set, narrowed, in_page, depth + 1)
            else:
                continue
            cost, height = min(cost + inner[0], _CEILING), max(height, inner[1])
        return cost, height + 1

    def _spread(self, name: str, in_page: bool, depth: int) -> tuple[int, int]:
        key = (name, in_page)
        if key not in self.known:
            fragment = self.fragments.get(name)
            if fragment is None:
                return 0, 0
            self.known[key] = (0, 0)  # A cycle ends here; validation will name it.
            condition = self.schema.get_type(fragment.type_condition.name.value)
            self.known[key] = self._selection(fragment.selection_set, condition, in_page, depth + 1)
        cost, height = self.known[key]
        if depth + height > MAX_DEPTH:
            raise _too_deep()
        return cost, height

    def _field(self, node: FieldNode, parent: GraphQLNamedType | None, in_page: bool, depth: int) -> tuple[int, int]:
        field = None
        if isinstance(parent, GraphQLObjectType | GraphQLInterfaceType):
            field = parent.fields.get(node.name.value)
        if node.selection_set is None:
            return 1, 0
        if field is None:  # Unknown, or introspection, which graphql-core bounds itself.
            cost, height = self._selection(node.selection_set, None, False, depth + 1)
            return 1 + cost, height
        paged = any(name in field.args for name in PAGE_ARGUMENTS)
        size = self._page_size(node, field.args) if paged else LIST_SIZE if _is_list(field.type) and not in_page else 1
        cost, height = self._selection(
            node.selection_set,
            get_named_type(field.type),
            paged and not _is_list(field.type),
            depth + 1,
        )
        return min(1 + size * cost, _CEILING), height

    def _page_size(self, node: FieldNode, known: Mapping[str, GraphQLArgument]) -> int:
        named = {argument.name.value for argument in node.arguments or ()} & {*PAGE_ARGUMENTS}
        defaults = [known[name].default_value for name in PAGE_ARGUMENTS if name in known and not named]
        sizes = [size for size in defaults if isinstance(size, int)]
        for argument in node.arguments or ():
            if argument.name.value in PAGE_ARGUMENTS:
                if isinstance(argument.value, IntValueNode):
                    sizes.append(_integer(argument.value.value))
                elif isinstance(argument.value, VariableNode):
                    sizes.append(self.variables.get(argument.value.name.value, MAX_PAGE))
        return min(max(1, *sizes), _CEILING) if sizes else MAX_PAGE


def _integer(literal: str) -> int:
    return int(literal) if len(literal) < 10 else _CEILING


def _is_list(type_: GraphQLOutputType) -> bool:
    return is_list_type(type_.of_type if is_non_null_type(type_) else type_)


def _too_deep() -> GraphQLError:
    return GraphQLError(
        f"The operation is nested more than {MAX_DEPTH} levels deep",
        extensions={"code": "TOO_DEEP"},
    )


class UnexpectedErrorMask(MaskErrors):
    """Keep the text of errors nobody foresaw (it may hold a secret) from the client.

    `public` names the exceptions whose text is written for clients. The log has them all:
    Strawberry logs an error before it is masked.
    """

    def __init__(self, public: tuple[type[Exception], ...] = ()) -> None:
        self._public = (
            *public,
            GraphQLError,
            CannotGetOperationTypeError,
            InvalidOperationTypeError,
        )
        super().__init__(self._is_unexpected, "Internal error")

    def _is_unexpected(self, error: GraphQLError) -> bool:
        original = error.original_error
        if original is None or isinstance(original, self._public):
            return False
        # A literal which a scalar refused: graphql-core's own message, before execution.
        return not (isinstance(original, ValueError) and error.nodes and not error.path)

    def _process_errors(self, errors: list[GraphQLError]) -> list[GraphQLError]:
        """Strawberry's setting withholds suggestions for fields alone, not for arguments, types
        or values."""
        for error in errors:
            if error.original_error is None or not error.path:
                error.message = error.message.partition(" Did you mean ")[0]
        return super()._process_errors(errors)

    def anonymise_error(self, error: GraphQLError) -> GraphQLError:
        if isinstance(error.original_error, RecursionError) and not error.path:
            return _too_deep()
        anonymous = super().anonymise_error(error)
        anonymous.extensions = {"code": "INTERNAL"}
        return anonymous


def limit_extensions(
    public: tuple[type[Exception], ...] = (),
) -> list[Callable[[], SchemaExtension]]:
    """The extensions for `strawberry.Schema`: factories, since one instance would be shared by
    concurrent operations."""
    return [
        partial(MaxTokensLimiter, MAX_TOKENS),
        CostLimiter,
        partial(KnownDocuments, OrderedDict()),
        partial(UnexpectedErrorMask, public),
    ]
