"""A Python function of a repository: its source with all that it needs of the repository, and what it reads. Never run."""

import ast
import posixpath
import symtable
import textwrap
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from graph.errors import InvalidInput, quoted
from graph.importers.shapes import near

MOST_OF_A_DEFINITION = 60_000
"""Characters."""

Texts = Mapping[str, str]
"""The files of the repository, by path."""


def source_of(path: str, function: str, texts: Texts, is_decorated: bool = True) -> str:
    """The function, after the helpers, constants and imports that it needs of its module and of others of the repository.

    `is_decorated`: with what decorates it, and what that needs. Raises InvalidInput.
    """
    module = _module(path, texts)
    if not isinstance(_function(module, function), ast.FunctionDef | ast.AsyncFunctionDef):
        names = [each.name for each in module.tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
        raise InvalidInput(f"{path} has no function {quoted(function)}{near(function, names)}", function)
    needed = _Needed(texts)
    if not is_decorated:
        module = _undecorated(module, function)
    needed.name(module, function)
    found = "\n\n".join(needed.sources(last=module))
    if len(found) > MOST_OF_A_DEFINITION:
        raise InvalidInput(
            f"{function} needs {len(found):,} characters of source; the limit is {MOST_OF_A_DEFINITION:,}"
        )
    return found


@dataclass(frozen=True)
class Module:
    path: str
    tree: ast.Module
    lines: tuple[str, ...]

    def text(self, node: ast.stmt) -> str:
        decorators = node.decorator_list if isinstance(node, _DECORATED) else []
        first = min([node.lineno, *(each.lineno for each in decorators)])
        return "\n".join(self.lines[first - 1 : node.end_lineno])


_DECORATED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def parsed_module(path: str, text: str) -> Module:
    """Raises InvalidInput, with the line."""
    try:
        return Module(path, ast.parse(text), tuple(text.splitlines()))
    except SyntaxError as error:
        raise InvalidInput(f"{path}:{error.lineno}: it is no Python: {error.msg}", path) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise InvalidInput(f"{path}: it is no Python: {error}", path) from error


def _module(path: str, texts: Texts) -> Module:
    return parsed_module(path, texts[path])


def _function(module: Module, name: str) -> ast.stmt | None:
    found = [each for each in module.tree.body if isinstance(each, _DECORATED) and each.name == name]
    return found[-1] if found else None


def _undecorated(module: Module, function: str) -> Module:
    body = []
    for each in module.tree.body:
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and each.name == function:
            each.decorator_list = []
        body.append(each)
    return Module(module.path, ast.Module(body, []), module.lines)


def function_alone(source: str, name: str) -> str | None:
    """The source without what decorates the function; None where it does not define it."""
    try:
        module = parsed_module("", textwrap.dedent(source))
    except InvalidInput:
        return None
    found = _function(module, name)
    if not isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef):
        return None
    if len(module.tree.body) > 1:
        return source
    found.decorator_list = []
    return module.text(found)


class _Needed:
    """Statements of modules, as far as some name needs them."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self._modules: dict[str, Module] = {}
        self._kept: dict[str, set[int]] = {}
        """Of each module, the numbers of its statements."""
        self._names: set[tuple[str, str]] = set()

    def name(self, module: Module, name: str) -> None:
        if (module.path, name) in self._names:
            return
        self._names.add((module.path, name))
        self._modules.setdefault(module.path, module)
        for number, statement in enumerate(module.tree.body):
            if name in bound_by(statement):
                self._statement(module, number, statement, name)

    def sources(self, last: Module) -> Iterator[str]:
        for path in sorted(self._kept, key=lambda path: (path == last.path, path)):
            module = self._modules[path]
            yield from (module.text(module.tree.body[number]) for number in sorted(self._kept[path]))

    def _statement(self, module: Module, number: int, statement: ast.stmt, name: str) -> None:
        if isinstance(statement, ast.Import | ast.ImportFrom) and self._imported(module, statement, name):
            return
        kept = self._kept.setdefault(module.path, set())
        if number in kept:
            return
        kept.add(number)
        for used in sorted(_used(symtable.symtable(module.text(statement), module.path, "exec"), at_top=True)):
            self.name(module, used)
        for each in ast.walk(statement):
            if isinstance(each, ast.Import | ast.ImportFrom) and each is not statement:  # within a function
                for alias in each.names:
                    self._imported(module, each, alias.asname or alias.name.partition(".")[0])

    def _imported(self, module: Module, statement: ast.Import | ast.ImportFrom, name: str) -> bool:
        """Whether it comes from a file of the repository: then what is needed of that stands instead."""
        for alias in statement.names:
            if isinstance(statement, ast.ImportFrom) and (alias.asname or alias.name) == name:
                path = module_path(module.path, statement.module or "", statement.level, self._texts)
                if path is not None and alias.name in _all_bound(other := self._other(path)):
                    self.name(other, alias.name)
                    # Under another name it must still be told apart.
                    return alias.asname is None or alias.asname == alias.name or self._keep(module, statement)
                inner = f"{statement.module}.{alias.name}" if statement.module else alias.name
                path = module_path(module.path, inner, statement.level, self._texts)
                if path is not None:
                    self._all(self._other(path), module, name)
                    return self._keep(module, statement)
            elif isinstance(statement, ast.Import) and (alias.asname or alias.name.partition(".")[0]) == name:
                path = module_path(module.path, alias.name, 0, self._texts)
                if path is not None:
                    self._all(self._other(path), module, name if alias.asname or "." not in alias.name else None)
                    return self._keep(module, statement)
        return False

    def _keep(self, module: Module, statement: ast.stmt) -> bool:
        if statement in module.tree.body:
            self._kept.setdefault(module.path, set()).add(module.tree.body.index(statement))
        return True

    def _all(self, other: Module, module: Module, called: str | None) -> None:
        """What is used of a module that is imported as such: `rates.rate`."""
        uses = [each for each in ast.walk(module.tree) if isinstance(each, ast.Name) and each.id == called]
        names = {
            each.attr
            for each in ast.walk(module.tree)
            if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name) and each.value.id == called
        }
        told = [each for each in ast.walk(module.tree) if isinstance(each, ast.Attribute) and each.value in uses]
        is_sure = called is not None and len(told) == len(uses)
        for name in sorted(names if is_sure else _all_bound(other)):
            self.name(other, name)

    def _other(self, path: str) -> Module:
        if path not in self._modules:
            self._modules[path] = _module(path, self._texts)
        return self._modules[path]


def module_path(importer: str, module: str, level: int, texts: Collection[str]) -> str | None:
    """The file of the repository that an import means; None: another's."""
    folder = posixpath.dirname(importer)
    if level:
        for _ in range(level - 1):
            folder = posixpath.dirname(folder)
        starts = [folder]
    else:
        starts = [folder]
        while starts[-1]:
            starts.append(posixpath.dirname(starts[-1]))
    steps = module.replace(".", "/")
    for start in starts:
        whole = posixpath.join(start, steps).rstrip("/")
        for path in (f"{whole}.py", posixpath.join(whole, "__init__.py")):
            if path in texts:
                return path
    return None


def bound_by(statement: ast.stmt) -> set[str]:
    """The names that a statement of a module makes or changes."""
    if isinstance(statement, _DECORATED):
        return {statement.name}
    if isinstance(statement, ast.Import):
        return {alias.asname or alias.name.partition(".")[0] for alias in statement.names}
    if isinstance(statement, ast.ImportFrom):
        return {alias.asname or alias.name for alias in statement.names}
    found: set[str] = set()
    if isinstance(statement, ast.Expr):  # RATES.update(…)
        call = statement.value
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
            found |= _base(call.func.value)
        return found
    inner = [each for each in ast.iter_child_nodes(statement) if isinstance(each, ast.stmt | ast.ExceptHandler)]
    for each in inner:
        for one in each.body if isinstance(each, ast.ExceptHandler) else [each]:
            found |= bound_by(one)
    for node in _own(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store):
            found |= _base(node)
    return found


def _used(table: symtable.SymbolTable, at_top: bool = False) -> set[str]:
    """The names of the module that code uses."""
    found = {each.get_name() for each in table.get_symbols() if each.is_referenced() and (at_top or each.is_global())}
    return found.union(*map(_used, table.get_children()))


def _own(statement: ast.stmt) -> Iterator[ast.AST]:
    waiting: list[ast.AST] = [statement]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += [each for each in ast.iter_child_nodes(node) if not isinstance(each, _INNER)]


_INNER = (ast.stmt, ast.ExceptHandler, ast.comprehension, ast.Lambda)


def _base(node: ast.expr) -> set[str]:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return {node.id} if isinstance(node, ast.Name) else set()


def _all_bound(module: Module) -> set[str]:
    return {name for statement in module.tree.body for name in bound_by(statement)}


# What it reads


@dataclass
class Reads:
    names: dict[str, None] = field(default_factory=dict)
    """Of columns and features."""
    dynamic: str | None = None
    """Why more may be read than that."""


def reads_of(source: str, function: str, known: Collection[str]) -> Reads:
    """What a function reads of rows, by the names of columns. `known`: names that are some; empty where none are known.

    A parameter that is called like a column is that column; another one is a row or a frame. Whatever else than taking columns
    by their names happens to that is dynamic. Raises InvalidInput.
    """
    module = parsed_module(function, source)
    defined = _function(module, function)
    reads = Reads()
    if not isinstance(defined, ast.FunctionDef | ast.AsyncFunctionDef):
        reads.dynamic = f"{function} is no function"
        return reads
    arguments = defined.args
    listed = [*arguments.posonlyargs, *arguments.args]
    defaulted = {each.arg for each in listed[len(listed) - len(arguments.defaults) :]}
    defaulted |= {
        each.arg for each, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if value is not None
    }
    rows: set[str] = {arguments.kwarg.arg} if arguments.kwarg else set()
    for each in (*listed, *arguments.kwonlyargs):
        if each.arg in known:
            reads.names[each.arg] = None
        elif each.arg not in defaulted:
            rows.add(each.arg)
    if arguments.vararg:
        reads.dynamic = f"line {defined.lineno}: *{arguments.vararg.arg} may be anything"
    _Using(reads, rows, known).take(defined)
    return reads


class _Using:
    def __init__(self, reads: Reads, rows: set[str], known: Collection[str]) -> None:
        self._reads = reads
        self._rows = rows
        self._known = known
        self._made: set[tuple[str, str]] = set()
        """Columns that the function itself adds to a row."""

    def take(self, defined: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for statement in defined.body:
            self._node(statement)

    def _node(self, node: ast.AST) -> None:
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
            if node.value is not None:
                self._node(node.value)
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(node, ast.AugAssign):
                    self._read_target(target)
                self._target(target)
            return
        row = self._row(node)
        if row is not None:
            name, columns, inner = row
            for column in columns:
                if (name, column) not in self._made:
                    self._reads.names[column] = None
            for argument in inner:
                self._node(argument)
            return
        if isinstance(node, ast.Name) and node.id in self._rows:
            self._dynamic(node, f"{node.id} is used as a whole")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _SEES_ALL:
            self._dynamic(node, f"{node.func.id}() sees all")
        for each in ast.iter_child_nodes(node):
            self._node(each)

    def _target(self, target: ast.expr) -> None:
        row = self._row(target)
        if row is not None:
            self._made |= {(row[0], column) for column in row[1]}
            return
        if isinstance(target, ast.Name) and target.id in self._rows:
            self._dynamic(target, f"{target.id} becomes something else")
        elif not isinstance(target, ast.Name):
            for each in ast.iter_child_nodes(target):
                self._node(each)

    def _read_target(self, target: ast.expr) -> None:
        row = self._row(target)
        if row is not None:
            self._reads.names.update(dict.fromkeys(each for each in row[1] if (row[0], each) not in self._made))

    def _row(self, node: ast.AST) -> tuple[str, list[str], list[ast.expr]] | None:
        """`df["a"]`, `df[["a", "b"]]`, `df.a`, `row.get("a", 0)`: the row, its columns, and what else stands there."""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
            columns = _texts(node.args[0]) if node.args else None
            named = self._named(node.func.value)
            return (named, columns, node.args[1:]) if named and columns else None
        if isinstance(node, ast.Subscript):
            named, columns = self._named(node.value), _texts(node.slice)
            return (named, columns, []) if named and columns else None
        if isinstance(node, ast.Attribute):
            named = self._named(node.value)
            is_column = node.attr in self._known or (named, node.attr) in self._made
            return (named, [node.attr], []) if named and is_column else None
        return None

    def _named(self, node: ast.expr) -> str | None:
        return node.id if isinstance(node, ast.Name) and node.id in self._rows else None

    def _dynamic(self, node: ast.expr, reason: str) -> None:
        self._reads.dynamic = self._reads.dynamic or f"line {node.lineno}: {reason}"


_SEES_ALL = frozenset({"eval", "exec", "locals", "vars", "globals"})


def _texts(node: ast.expr) -> list[str] | None:
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else None
    if isinstance(node, ast.List | ast.Tuple):
        found = [each.value for each in node.elts if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        return found if found and len(found) == len(node.elts) else None
    return None
