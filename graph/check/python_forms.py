"""The source of a Python function in one form, so that two that compute the same in the same steps are equal.

What is taken away: comments and formatting, docstrings, annotations of functions and variables (unless a decorator could read
them), the names of local variables, of helpers and constants of the module, of what is imported; the order of
functions and constants, and those that are not used. What stays: parameters, since callers may name them, with their defaults;
every step, in its order.

A name stays as it is where it could be looked for by its text: in a string (queries name variables), or where the source asks for
its own names (`locals()`, `eval`, `__name__`).
"""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

MOST_TEXT = 200_000


class NotPython(Exception):
    """`str(error)` says why."""


def python_form(source: str, function: str | None) -> str:
    """`function`: whose values are meant; None: all that the source does. Raises NotPython."""
    if len(source) > MOST_TEXT:
        raise NotPython(f"it has {len(source):,} characters; the limit is {MOST_TEXT:,}")
    try:
        compile(
            source, "definition", "exec", dont_inherit=True
        )  # which refuses more than parsing does, and runs nothing
        return _Form(ast.parse(source), function).text()
    except SyntaxError as error:
        raise NotPython(f"it is no Python that can be read here: {error.msg}, line {error.lineno}") from None
    except (ValueError, RecursionError, MemoryError):
        raise NotPython("it is no Python that can be read here: it is nested too deeply, or holds a null") from None


_ASKING = {
    "locals",
    "globals",
    "vars",
    "eval",
    "exec",
    "dir",
    "__name__",
    "__doc__",
    "__code__",
    "__annotations__",
    "_getframe",
    "inspect",
}
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


@dataclass(eq=False)
class _Scope:
    kind: Literal["module", "function", "class", "inner"]
    """`inner`: of a lambda or a comprehension."""
    parent: "_Scope | None"
    bound: dict[str, int] = field(default_factory=dict)
    """How often each name is bound."""
    kept: set[str] = field(default_factory=set)
    """Names that others may use: parameters, classes."""
    of_module: set[str] = field(default_factory=set)
    of_outer: set[str] = field(default_factory=set)

    def bind(self, name: str) -> None:
        self.bound[name] = self.bound.get(name, 0) + 1


class _Scopes(ast.NodeVisitor):
    """Which scope each node stands in."""

    def __init__(self, tree: ast.Module) -> None:
        self.module = _Scope("module", None)
        self.of: dict[ast.AST, _Scope] = {}
        self._here = self.module
        self.visit(tree)

    def visit(self, node: ast.AST) -> None:
        self.of[node] = self._here
        super().visit(node)

    def _within(self, scope: _Scope, nodes: Iterable[ast.AST]) -> None:
        outer, self._here = self._here, scope
        for each in nodes:
            self.visit(each)
        self._here = outer

    def _bind(self, name: str | None) -> None:
        if name is not None:
            if name in self._here.of_module:
                self.module.bind(name)
            else:
                self._here.bind(name)

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            self._bind(node.id)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        scope = self._here
        while scope.kind == "inner" and scope.parent is not None:
            scope = scope.parent
        self._within(scope, [node.target])

    def _function(self, node: _Function) -> None:
        self._bind(node.name)
        for each in node.decorator_list:
            self.visit(each)
        if node.returns is not None:
            self.visit(node.returns)
        inner = _Scope("function", self._here)
        self._arguments(node.args, inner)
        inner.kept |= set(inner.bound)
        _declare(node.body, inner)
        self._within(inner, node.body)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._function(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        inner = _Scope("inner", self._here)
        self._arguments(node.args, inner)
        inner.kept |= {each.arg for each in (*node.args.kwonlyargs, node.args.kwarg) if each is not None}
        self._within(inner, [node.body])

    def _arguments(self, args: ast.arguments, inner: _Scope) -> None:
        self.of[args] = self._here
        for default in (*args.defaults, *args.kw_defaults):
            if default is not None:
                self.visit(default)
        for each in (*args.posonlyargs, *args.args, args.vararg, *args.kwonlyargs, args.kwarg):
            if each is not None:
                self.of[each] = inner
                inner.bind(each.arg)
                if each.annotation is not None:
                    self.visit(each.annotation)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._bind(node.name)
        self._here.kept.add(node.name)
        for each in (*node.decorator_list, *node.bases, *node.keywords):
            self.visit(each)
        inner = _Scope("class", self._here)
        _declare(node.body, inner)
        self._within(inner, node.body)

    def _comprehension(self, node: _Comprehension) -> None:
        first, *others = node.generators
        self.of[first] = self._here
        self.visit(first.iter)
        inner = _Scope("inner", self._here)
        self._within(inner, [first.target, *first.ifs, *others])
        self._within(inner, [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt])

    def visit_ListComp(self, node: ast.ListComp) -> None:
        self._comprehension(node)

    def visit_SetComp(self, node: ast.SetComp) -> None:
        self._comprehension(node)

    def visit_DictComp(self, node: ast.DictComp) -> None:
        self._comprehension(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> None:
        self._comprehension(node)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self._bind(node.name)
        self.generic_visit(node)

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        self._bind(node.name)
        self.generic_visit(node)

    def visit_MatchStar(self, node: ast.MatchStar) -> None:
        self._bind(node.name)

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self._bind(node.rest)
        self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        for each in node.names:
            self._bind(each.asname or each.name.partition(".")[0])
            if self._here.kind != "module":
                self._here.kept.add(each.asname or each.name.partition(".")[0])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for each in node.names:
            self._bind(each.asname or each.name)
            if self._here.kind != "module":
                self._here.kept.add(each.asname or each.name)


def _declare(body: list[ast.stmt], scope: _Scope) -> None:
    """What a function says of its names, wherever in it: but not in those within it."""
    waiting: list[ast.AST] = [*body]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Global):
            scope.of_module |= {*node.names}
        elif isinstance(node, ast.Nonlocal):
            scope.of_outer |= {*node.names}
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)


class _Form:
    def __init__(self, tree: ast.Module, function: str | None) -> None:
        tree.body = _plain_body(tree.body, in_class=False)
        self._scopes = _Scopes(tree)
        self._module = self._scopes.module
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        self._asks = bool(names & _ASKING) or any(
            isinstance(node, ast.ImportFrom) and any(each.name == "*" for each in node.names) for node in ast.walk(tree)
        )
        self._said = _words_in_texts(tree)
        self._passed = {node.arg for node in ast.walk(tree) if isinstance(node, ast.keyword)}
        self._tree = tree
        self._imported = self._imports()
        self._movable = self._movables()
        self._moved = {*self._movable.values()}
        entry = self._movable.get(function) if function else None
        self._entry = function if isinstance(entry, ast.FunctionDef | ast.AsyncFunctionDef) else None
        self._tokens: dict[tuple[int, str], str] = {}
        self._waiting: dict[str, None] = {}

    def text(self) -> str:
        if self._asks:
            return self._many(self._tree.body, self._module)
        lines = []
        if self._entry is not None:
            self._called(self._entry, self._module)
        else:
            lines += [
                self._one(each) for each in self._tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
            ]
        lines += [self._one(each) for each in self._tree.body if not self._is_movable(each) and not _is_text(each)]
        self._waiting.update((name, None) for name in self._movable if name in self._said)
        done: set[str] = set()
        while waiting := [name for name in self._waiting if name not in done]:
            done.update(waiting)
            lines += [self._one(self._movable[name]) for name in waiting]
        return "\n".join(lines)

    def _imports(self) -> dict[str, str]:
        """Names that stand for something of another module, each with what it is."""
        found: dict[str, str] = {}
        for node in self._tree.body:
            if isinstance(node, ast.Import):
                found |= {
                    each.asname or each.name.partition(".")[0]: each.name
                    if each.asname
                    else each.name.partition(".")[0]
                    for each in node.names
                }
            elif isinstance(node, ast.ImportFrom):
                source = "." * node.level + (node.module or "")
                found |= {each.asname or each.name: f"{source}:{each.name}" for each in node.names}
        return {name: what for name, what in found.items() if self._module.bound.get(name) == 1}

    def _movables(self) -> dict[str, ast.stmt]:
        """What is bound once and does nothing else: where in the module it stands is nothing to what it means."""
        found: dict[str, ast.stmt] = {}
        for node in self._tree.body:
            name = None
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                outside = [*node.decorator_list, *node.args.defaults, *(each for each in node.args.kw_defaults if each)]
                name = node.name if not any(map(_does, outside)) else None
            elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
                read = {each.id for each in ast.walk(node.value) if isinstance(each, ast.Name)}
                settled = all(self._module.bound.get(each, 1) == 1 for each in read)
                name = node.targets[0].id if settled and not _does(node.value) else None
            if name is not None and self._module.bound.get(name) == 1:
                found[name] = node
        return found

    def _is_movable(self, node: ast.stmt) -> bool:
        if isinstance(node, ast.Import | ast.ImportFrom):
            return all((each.asname or each.name.partition(".")[0]) in self._imported for each in node.names)
        return node in self._moved

    def _called(self, name: str, scope: _Scope) -> str:
        """Its name in the form."""
        if self._asks:
            return name
        found = _resolved(name, scope, self._module)
        if found is None or name.startswith("__"):
            return name
        if found is self._module:
            if name in self._imported:
                return f"<{self._imported[name]}>"
            if name not in self._movable:
                return name
            self._waiting[name] = None
        is_passed = found.kind == "inner" and name in self._passed  # perhaps to a parameter of a lambda
        if is_passed or name in found.kept or found.kind == "class" or (name in self._said and name != self._entry):
            self._tokens.setdefault((id(found), name), name)
            return name
        return self._tokens.setdefault((id(found), name), f"<{len(self._tokens)}>")

    def _one(self, node: ast.AST) -> str:
        scope = self._scopes.of.get(node, self._module)
        said: list[str] = []
        for name, value in self._fields(node):
            if isinstance(value, ast.AST):
                said.append(f"{name}={self._one(value)}")
            elif isinstance(value, list):
                said.append(f"{name}=[{self._many(value, scope)}]")
            elif isinstance(value, str) and name in _IDENTIFIERS.get(type(node), ()):
                said.append(f"{name}={self._called(value, scope)}")
            elif value is not None:
                said.append(f"{name}={value!r}")
        return f"{type(node).__name__}({', '.join(said)})"

    def _many(self, nodes: Iterable[object], scope: _Scope) -> str:
        return ", ".join(
            self._one(each) if isinstance(each, ast.AST)
            else self._called(each, scope) if isinstance(each, str)
            else repr(each)
            for each in nodes
        )  # fmt: skip

    def _fields(self, node: ast.AST) -> Iterator[tuple[str, object]]:
        bare = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.decorator_list
        for name, value in ast.iter_fields(node):
            if name in ("type_comment", "kind", "lineno"):
                continue
            if name == "returns" and bare:
                continue
            if name == "args" and bare and isinstance(value, ast.arguments):
                for each in (*value.posonlyargs, *value.args, value.vararg, *value.kwonlyargs, value.kwarg):
                    if each is not None:
                        each.annotation = None
            if name == "body" and isinstance(value, list):
                yield name, _plain_body(value, in_class=isinstance(node, ast.ClassDef))
            elif isinstance(node, ast.Global | ast.Nonlocal):
                continue
            else:
                yield name, value


_IDENTIFIERS: dict[type[ast.AST], tuple[str, ...]] = {
    ast.Name: ("id",),
    ast.arg: ("arg",),
    ast.FunctionDef: ("name",),
    ast.AsyncFunctionDef: ("name",),
    ast.ClassDef: ("name",),
    ast.ExceptHandler: ("name",),
    ast.MatchAs: ("name",),
    ast.MatchStar: ("name",),
    ast.MatchMapping: ("rest",),
}


def _resolved(name: str, scope: _Scope, module: _Scope) -> _Scope | None:
    """The scope whose name it is; None for one of Python's own."""
    here: _Scope | None = scope
    is_first = True
    while here is not None:
        if name in here.of_module:
            return module if name in module.bound else None
        if name in here.bound and name not in here.of_outer and (is_first or here.kind != "class"):
            return here
        is_first = False
        here = here.parent
    return None


def _does(node: ast.AST) -> bool:
    """Whether evaluating it may do something, or depend on when."""
    calls = (
        ast.Call,
        ast.Await,
        ast.Yield,
        ast.YieldFrom,
        ast.NamedExpr,
        ast.Subscript,
        ast.ListComp,
        ast.GeneratorExp,
    )
    return any(
        isinstance(each, calls) for each in ast.walk(node) if not isinstance(each, ast.Lambda)
    ) and not isinstance(node, ast.Lambda)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _words_in_texts(tree: ast.Module) -> set[str]:
    """Of texts that are more than documentation."""
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = (
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone
    )
    return {word for said in texts for word in re.findall(r"\w+", said)}


def _plain_body(body: list[ast.stmt], in_class: bool) -> list[ast.stmt]:
    """Without texts and passes that do nothing, and without annotations of variables."""
    found: list[ast.stmt] = []
    for node in body:
        if _is_text(node) or isinstance(node, ast.Pass | ast.Global | ast.Nonlocal):
            continue
        if isinstance(node, ast.AnnAssign) and not in_class:
            if node.value is not None:
                found.append(ast.Assign([node.target], node.value))
            continue
        found.append(node)
    return found
