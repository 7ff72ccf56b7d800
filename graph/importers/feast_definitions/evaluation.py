"""Modules of definitions, read as far as they can be told without running them: constants, simple expressions, loops over what is
known, functions of the repository. Whatever else they do is unknown, with its place, and nothing is guessed.

What is not known at all takes all with it that it may change: a condition, the names that either way binds.
"""

import ast
import operator
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta

from graph.errors import InvalidInput
from graph.importers.feast_definitions.values import (
    Builtin,
    Chosen,
    Foreign,
    Function,
    Made,
    Method,
    Scope,
    Unknown,
    Value,
    ValueType,
    unknown_in,
)
from graph.importers.functions import Texts, bound_by, module_path, parsed_module

MOST_STEPS = 200_000
"""Statements and expressions of one repository."""
MOST_LENGTH = 20_000
"""Of a text or a list on the way."""
MOST_DEEP = 40
"""Calls, one within the other."""

KINDS = frozenset(
    {
        "Aggregation",
        "BatchFeatureView",
        "Entity",
        "FeatureService",
        "FeatureView",
        "Field",
        "LabelView",
        "OnDemandFeatureView",
    }
    | {"Project", "StreamFeatureView"}
)
DECORATORS = {
    "on_demand_feature_view": "OnDemandFeatureView",
    "stream_feature_view": "StreamFeatureView",
    "batch_feature_view": "BatchFeatureView",
}
SIMPLE_TYPES = {
    **{
        name: name.upper()
        for name in ("Bytes", "String", "Int32", "Int64", "Bool", "UnixTimestamp", "Map", "Json", "Struct")
    },
    "UnixTimestamp": "UNIX_TIMESTAMP",
    "Float32": "FLOAT",
    "Float64": "DOUBLE",
    "Uuid": "UUID",
    "TimeUuid": "TIME_UUID",
    "Decimal": "DECIMAL",
}


class _Return(Exception):
    def __init__(self, value: Value) -> None:
        self.value = value


class _Exhausted(Exception):
    pass


class Evaluation:
    """Of one repository."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self._scopes: dict[str, Scope] = {}
        self._steps = 0
        self._depth = 0
        self.lost: dict[str, str] = {}
        """Of each file that cannot be read to its end: why."""

    def module(self, path: str) -> Scope:
        if path not in self._scopes:
            scope = self._scopes[path] = Scope(path, {"__file__": Unknown(f"{path}: where it lies is not known")})
            try:
                self._block(parsed_module(path, self._texts[path]).tree.body, scope)
            except InvalidInput as error:
                self.lost[path] = str(error)
            except _Exhausted:
                self.lost[path] = f"{path}: it takes more than {MOST_STEPS:,} steps to read"
            except RecursionError:
                self.lost[path] = f"{path}: it is nested too deeply"
            except _Return:
                self.lost[path] = f"{path}: it returns outside of a function"
        return self._scopes[path]

    # Statements

    def _block(self, body: list[ast.stmt], scope: Scope) -> None:
        for statement in body:
            self._statement(statement, scope)

    def _statement(self, node: ast.stmt, scope: Scope) -> None:
        self._step()
        match node:
            case ast.Import() | ast.ImportFrom():
                self._import(node, scope)
            case ast.Assign():
                value = self.value(node.value, scope)
                for target in node.targets:
                    self._bind(target, value, scope)
            case ast.AnnAssign():
                if node.value is not None:
                    self._bind(node.target, self.value(node.value, scope), scope)
            case ast.AugAssign():
                left = self.value(_loaded(node.target), scope)
                self._bind(node.target, self._binary(node.op, left, self.value(node.value, scope), node, scope), scope)
            case ast.Expr():
                self.value(node.value, scope)
            case ast.FunctionDef():
                scope.names[node.name] = self._function(node, scope)
            case ast.If():
                test = self._truth(node.test, scope)
                if isinstance(test, Unknown):
                    self._forget(node, scope, test.reason.partition(": ")[2])
                else:
                    self._block(node.body if test else node.orelse, scope)
            case ast.For():
                self._for(node, scope)
            case ast.Try():
                self._block([*node.body, *node.orelse, *node.finalbody], scope)
            case ast.Return():
                raise _Return(None if node.value is None else self.value(node.value, scope))
            case ast.Pass() | ast.Assert() | ast.Raise() | ast.Global() | ast.Nonlocal():
                pass
            case _:
                self._forget(node, scope, f"{type(node).__name__.lower()} is not followed")

    def _for(self, node: ast.For, scope: Scope) -> None:
        items = self._items(self.value(node.iter, scope))
        if items is None or node.orelse or any(isinstance(each, ast.Break | ast.Continue) for each in ast.walk(node)):
            self._forget(node, scope, "what it loops over is not known")
            return
        for item in items:
            self._bind(node.target, item, scope)
            self._block(node.body, scope)

    def _forget(self, node: ast.stmt, scope: Scope, reason: str) -> None:
        unknown = self._unknown(node, scope, reason)
        for name in bound_by(node):
            scope.names[name] = unknown
        for each in ast.walk(node):
            if isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute):  # what.append(…) under a condition
                base = each.func.value
                if isinstance(base, ast.Name) and isinstance(scope.find(base.id), list | dict):
                    scope.names[base.id] = unknown

    def _bind(self, target: ast.expr, value: Value, scope: Scope) -> None:
        match target:
            case ast.Name():
                scope.names[target.id] = value
            case ast.Tuple() | ast.List():
                items = self._items(value)
                whole = items is not None and len(items) == len(target.elts)
                for number, each in enumerate(target.elts):
                    unknown = self._unknown(target, scope, "what is taken apart is not known")
                    self._bind(each, items[number] if items is not None and whole else unknown, scope)
            case ast.Subscript():
                held, key = self.value(target.value, scope), self.value(target.slice, scope)
                if isinstance(held, dict) and isinstance(key, str | int):
                    held[key] = value
                elif isinstance(target.value, ast.Name):
                    scope.names[target.value.id] = self._unknown(target, scope, "what is set in it is not known")
            case _:
                base = target
                while isinstance(base, ast.Attribute | ast.Subscript | ast.Starred):
                    base = base.value
                if isinstance(base, ast.Name):
                    held = scope.find(base.id)
                    if isinstance(held, Made) and isinstance(target, ast.Attribute):
                        held.given[target.attr] = value
                    else:
                        scope.names[base.id] = self._unknown(target, scope, "what is set on it is not followed")

    def _function(self, node: ast.FunctionDef, scope: Scope) -> Value:
        for decorator in reversed(node.decorator_list):
            call = decorator if isinstance(decorator, ast.Call) else None
            named = self.value(call.func if call else decorator, scope)
            kind = (
                DECORATORS.get(_last(named)) if isinstance(named, Foreign) and named.name.startswith("feast.") else None
            )
            if kind is None or call is None or len(node.decorator_list) > 1:
                return self._unknown(node, scope, f"what decorates {node.name} is not known")
            given = self._keywords(call, scope)
            own = given.get("name") if kind == "OnDemandFeatureView" else None
            defaults: dict[str, Value] = {"mode": "spark"} if kind == "StreamFeatureView" else {}
            return Made(kind, defaults | given | {"name": own or node.name}, scope.path, node.lineno, node.name)
        return Function(node, scope)

    def _import(self, node: ast.Import | ast.ImportFrom, scope: Scope) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                path = module_path(scope.path, alias.name, 0, self._texts)
                name = alias.asname or alias.name.partition(".")[0]
                if path is not None:
                    is_whole = alias.asname is not None or "." not in alias.name
                    reason = f"the package {name} is not followed"
                    scope.names[name] = self.module(path) if is_whole else self._unknown(node, scope, reason)
                else:
                    scope.names[name] = Foreign(alias.name if alias.asname else name)
            return
        path = module_path(scope.path, node.module or "", node.level, self._texts)
        for alias in node.names:
            name = alias.asname or alias.name
            inner = f"{node.module}.{alias.name}" if node.module else alias.name
            submodule = module_path(scope.path, inner, node.level, self._texts)
            if path is not None and alias.name == "*":
                scope.names |= {
                    each: value for each, value in self.module(path).names.items() if not each.startswith("_")
                }
            elif path is not None and alias.name in self.module(path).names:
                scope.names[name] = self.module(path).names[alias.name]
            elif submodule is not None:
                scope.names[name] = self.module(submodule)
            elif path is not None or node.level:
                scope.names[name] = self._unknown(node, scope, f"{inner} is not in the repository")
            else:
                scope.names[name] = self._foreign(Foreign(inner))

    # Expressions

    def value(self, node: ast.expr, scope: Scope) -> Value:
        self._step()
        match node:
            case ast.Constant():
                return node.value
            case ast.Name():
                found = scope.find(node.id)
                return (
                    self._unknown(node, scope, found.reason)
                    if isinstance(found, Unknown) and ": " not in found.reason
                    else found
                )
            case ast.List() | ast.Tuple() | ast.Set():
                return self._several(node, scope)
            case ast.Dict():
                return self._mapping(node, scope)
            case ast.JoinedStr():
                return self._joined(node, scope)
            case ast.BinOp():
                return self._binary(node.op, self.value(node.left, scope), self.value(node.right, scope), node, scope)
            case ast.UnaryOp():
                return self._unary(node, scope)
            case ast.BoolOp():
                return self._bool(node, scope)
            case ast.Compare():
                return self._compared(node, scope)
            case ast.IfExp():
                test = self._truth(node.test, scope)
                return test if isinstance(test, Unknown) else self.value(node.body if test else node.orelse, scope)
            case ast.Attribute():
                return self._attribute(self.value(node.value, scope), node, scope)
            case ast.Subscript():
                return self._subscript(self.value(node.value, scope), node, scope)
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp():
                return self._listed(node, scope)
            case ast.DictComp():
                return self._mapped(node, scope)
            case ast.Call():
                return self._call(node, scope)
        return self._unknown(node, scope, f"{ast.unparse(node)[:60]} is not followed")

    def _several(self, node: ast.List | ast.Tuple | ast.Set, scope: Scope) -> Value:
        items: list[Value] = []
        for each in node.elts:
            if isinstance(each, ast.Starred):
                more = self._items(self.value(each.value, scope))
                if more is None:
                    return self._unknown(each, scope, "what is unpacked is not known")
                items += more
            else:
                items.append(self.value(each, scope))
        return tuple(items) if isinstance(node, ast.Tuple) else items

    def _mapping(self, node: ast.Dict, scope: Scope) -> Value:
        found: dict[Value, Value] = {}
        for key, each in zip(node.keys, node.values, strict=True):
            value = self.value(each, scope)
            name = None if key is None else self.value(key, scope)
            if key is None and isinstance(value, dict):
                found |= value
            elif isinstance(name, str | int | float | bool):
                found[name] = value
            else:
                return self._unknown(node, scope, "a name in it is not known")
        return found

    def _joined(self, node: ast.JoinedStr, scope: Scope) -> Value:
        parts = []
        for each in node.values:
            if isinstance(each, ast.FormattedValue):
                value = self.value(each.value, scope)
                if isinstance(value, Unknown):
                    return value
                if (
                    each.format_spec is not None
                    or each.conversion not in {-1, 115}
                    or not isinstance(value, str | int | float)
                ):
                    return self._unknown(node, scope, "how it is written is not followed")
                parts.append(str(value))
            elif isinstance(each, ast.Constant):
                parts.append(str(each.value))
        return self._short("".join(parts), node, scope)

    def _binary(self, op: ast.operator, left: Value, right: Value, node: ast.AST, scope: Scope) -> Value:
        for each in (left, right):
            if isinstance(each, Unknown):
                return each
        made = _OPERATORS.get(type(op))
        if made is None or not _may_combine(op, left, right):
            return self._unknown(node, scope, "it is not followed")
        try:
            return self._short(made(left, right), node, scope)
        except (TypeError, ValueError, ArithmeticError) as error:
            return self._unknown(node, scope, str(error))

    def _unary(self, node: ast.UnaryOp, scope: Scope) -> Value:
        if isinstance(node.op, ast.Not):
            truth = self._truth(node.operand, scope)
            return truth if isinstance(truth, Unknown) else not truth
        value = self.value(node.operand, scope)
        if isinstance(value, Unknown):
            return value
        if isinstance(node.op, ast.USub) and isinstance(value, int | float | timedelta):
            return -value
        return self._unknown(node, scope, "it is not followed")

    def _bool(self, node: ast.BoolOp, scope: Scope) -> Value:
        value: Value = None
        for each in node.values:
            value = self.value(each, scope)
            if not isinstance(value, _PLAIN):
                return (
                    value
                    if isinstance(value, Unknown)
                    else self._unknown(node, scope, "whether it is true is not known")
                )
            if bool(value) is isinstance(node.op, ast.Or):
                break
        return value

    def _truth(self, node: ast.expr, scope: Scope) -> bool | Unknown:
        value = self.value(node, scope)
        if isinstance(value, Unknown):
            return value
        reason = f"whether {ast.unparse(node)[:60]} is true is not known before it runs"
        return bool(value) if isinstance(value, _PLAIN) else self._unknown(node, scope, reason)

    def _compared(self, node: ast.Compare, scope: Scope) -> Value:
        left = self.value(node.left, scope)
        for op, each in zip(node.ops, node.comparators, strict=True):
            right = self.value(each, scope)
            for side in (left, right):
                if isinstance(side, Unknown):
                    return side
            compare = _COMPARISONS.get(type(op))
            if compare is None or not all(isinstance(side, _PLAIN) for side in (left, right)):
                return self._unknown(node, scope, "the comparison is not followed")
            try:
                if not compare(left, right):
                    return False
            except TypeError as error:
                return self._unknown(node, scope, str(error))
            left = right
        return True

    def _attribute(self, of: Value, node: ast.Attribute, scope: Scope) -> Value:
        name = node.attr
        match of:
            case Unknown():
                return of
            case Scope():
                found = of.names.get(name)
                return self._unknown(node, scope, f"{name} is not known") if found is None else found
            case Foreign():
                return self._foreign(Foreign(f"{of.name}.{name}"))
            case Made() if name in {"with_name", "with_projection", "with_join_key_map"}:
                return Method(of, name)
            case Made() if name in of.given:
                return of.given[name]
            case Chosen() | str() | list() | dict():
                return Method(of, name)
        return self._unknown(node, scope, f"{ast.unparse(node)[:60]} is not followed")

    def _foreign(self, named: Foreign) -> Value:
        """A type of Feast's, or the name."""
        last = _last(named)
        if named.name.startswith("feast.") and ".ValueType." in f".{named.name}":
            return ValueType(last)
        if named.name.startswith("feast.types.") and last in SIMPLE_TYPES:
            return ValueType(SIMPLE_TYPES[last])
        if ".TransformationMode." in f".{named.name}":
            return last.lower()
        return named

    def _subscript(self, of: Value, node: ast.Subscript, scope: Scope) -> Value:
        if isinstance(of, Unknown):
            return of
        key = self.value(node.slice, scope) if not isinstance(node.slice, ast.Slice) else Unknown("a slice")
        if isinstance(key, Unknown):
            return self._unknown(node, scope, key.reason)
        if isinstance(of, Made) and isinstance(key, list) and all(isinstance(each, str) for each in key):
            return Chosen(of, tuple(map(str, key)))
        if isinstance(of, dict) and isinstance(key, str | int) and key in of:
            return of[key]
        if isinstance(of, list | tuple | str) and isinstance(key, int) and -len(of) <= key < len(of):
            return of[key]
        return self._unknown(node, scope, f"{ast.unparse(node)[:60]} is not followed")

    def _listed(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp, scope: Scope) -> Value:
        inner = Scope(scope.path, {}, scope)
        try:
            return [self.value(node.elt, inner) for _ in self._rounds(node.generators, inner)]
        except _Open as error:
            return self._unknown(node, scope, str(error))

    def _mapped(self, node: ast.DictComp, scope: Scope) -> Value:
        inner = Scope(scope.path, {}, scope)
        found: dict[Value, Value] = {}
        try:
            for _ in self._rounds(node.generators, inner):
                key = self.value(node.key, inner)
                if not isinstance(key, str | int):
                    raise _Open("a name in it is not known")
                found[key] = self.value(node.value, inner)
        except _Open as error:
            return self._unknown(node, scope, str(error))
        return found

    def _rounds(self, generators: list[ast.comprehension], scope: Scope) -> Iterator[None]:
        if not generators:
            yield
            return
        first, rest = generators[0], generators[1:]
        items = self._items(self.value(first.iter, scope))
        if items is None:
            raise _Open("what it loops over is not known")
        for item in items:
            self._bind(first.target, item, scope)
            tests = [self._truth(each, scope) for each in first.ifs]
            if any(isinstance(each, Unknown) for each in tests):
                raise _Open("a condition in it is not known")
            if all(tests):
                yield from self._rounds(rest, scope)

    def _items(self, value: Value) -> list[Value] | None:
        if isinstance(value, dict | list | tuple):
            return [*value]
        return None

    # Calls

    def _call(self, node: ast.Call, scope: Scope) -> Value:
        called = self.value(node.func, scope)
        match called:
            case Unknown():
                return called
            case Foreign():
                return self._made(called, node, scope)
            case Builtin():
                return self._builtin(called.name, node, scope)
            case Method():
                return self._method(called, node, scope)
            case Function():
                return self._run(called, node, scope)
        return self._unknown(node, scope, f"{ast.unparse(node.func)[:60]} is not followed")

    def _made(self, called: Foreign, node: ast.Call, scope: Scope) -> Value:
        last = _last(called)
        if called.name.startswith("feast."):
            positional = [self.value(each, scope) for each in node.args]
            if last in {"Array", "Set"} and len(positional) == 1:
                (inner,) = positional
                kind = "LIST" if last == "Array" else "SET"
                return (
                    ValueType(f"{inner.name}_{kind}")
                    if isinstance(inner, ValueType)
                    else self._unknown(node, scope, "a type")
                )
            if last in KINDS or last.endswith("Source"):
                given = self._keywords(node, scope)
                if positional:
                    given["?"] = self._unknown(node, scope, f"{last} takes no arguments without a name")
                return Made(last, given, scope.path, node.lineno)
            return Foreign(f"{called.name}()")
        if called.name == "datetime.timedelta":
            given = self._keywords(node, scope)
            names = ("days", "seconds", "microseconds", "milliseconds", "minutes", "hours", "weeks")
            given = dict(zip(names, (self.value(each, scope) for each in node.args), strict=False)) | given
            if unknown := unknown_in(given):
                return unknown
            try:
                return timedelta(**{name: value for name, value in given.items() if isinstance(value, int | float)})
            except (TypeError, OverflowError) as error:
                return self._unknown(node, scope, str(error))
        return self._unknown(node, scope, f"{called.name} is not known before it runs")

    def _keywords(self, node: ast.Call, scope: Scope) -> dict[str, Value]:
        given: dict[str, Value] = {}
        for each in node.keywords:
            value = self.value(each.value, scope)
            if each.arg is not None:
                given[each.arg] = value
            elif isinstance(value, dict):
                given |= {str(name): inner for name, inner in value.items()}
            else:
                unknown = self._unknown(node, scope, "what is unpacked into it is not followed")
                given["?"] = value if isinstance(value, Unknown) else unknown
        return given

    def _builtin(self, name: str, node: ast.Call, scope: Scope) -> Value:
        if name == "globals":
            return scope.module.names
        given = [self.value(each, scope) for each in node.args]
        if name == "dict":
            mapping = {} if not given else given[0] if isinstance(given[0], dict) else None
            keywords = self._keywords(node, scope)
            if mapping is None or "?" in keywords:
                return self._unknown(node, scope, "dict() of this is not followed")
            return {**mapping, **keywords}
        if name == "print":
            return None
        if node.keywords or any(isinstance(each, ast.Starred) for each in node.args):
            return self._unknown(node, scope, f"{name}() of this is not followed")
        if unknown := next((each for each in given if isinstance(each, Unknown)), None):
            return unknown
        if name == "range" and not all(isinstance(each, int) and abs(each) <= MOST_LENGTH for each in given):
            return self._unknown(node, scope, "range() of this is not followed")
        if not all(isinstance(each, _PLAIN) for each in given):
            return self._unknown(node, scope, f"{name}() of this is not followed")
        try:
            found: object = _CALLED[name](*given)
        except (TypeError, ValueError, ArithmeticError) as error:
            return self._unknown(node, scope, str(error))
        return self._short(found, node, scope)

    def _method(self, method: Method, node: ast.Call, scope: Scope) -> Value:
        of, name = method.of, method.name
        given = [self.value(each, scope) for each in node.args]
        if isinstance(of, list) and name in {"append", "extend"} and len(given) == 1:
            more = [given[0]] if name == "append" else self._items(given[0])
            if more is not None and len(of) + len(more) <= MOST_LENGTH:
                of.extend(more)
                return None
            of.append(self._unknown(node, scope, "what is added is not known"))
            return None
        if isinstance(of, dict) and name == "update" and len(given) == 1 and isinstance(given[0], dict):
            of.update(given[0])
            return None
        if unknown := next((each for each in given if isinstance(each, Unknown)), None):
            return unknown
        if isinstance(of, Made | Chosen):
            return self._chosen(of, name, given, node, scope)
        if isinstance(of, dict) and name in {"items", "keys", "values", "copy", "get"} and not node.keywords:
            if name == "get" and given and isinstance(given[0], str | int):
                return of.get(given[0], given[1] if len(given) > 1 else None)
            if not given:
                return {"items": [*of.items()], "keys": [*of], "values": [*of.values()], "copy": {**of}}.get(name)
        if isinstance(of, str) and name in _OF_TEXTS and not node.keywords:
            flat = [each for value in given for each in (value if isinstance(value, list | tuple) else [value])]
            if all(isinstance(each, str) for each in flat):
                try:
                    return self._short(getattr(of, name)(*given), node, scope)
                except (TypeError, ValueError) as error:
                    return self._unknown(node, scope, str(error))
        return self._unknown(node, scope, f"{name}() is not followed")

    def _chosen(self, of: Made | Chosen, name: str, given: list[Value], node: ast.Call, scope: Scope) -> Value:
        chosen = of if isinstance(of, Chosen) else Chosen(of, None)
        if name == "with_name" and len(given) == 1 and isinstance(given[0], str):
            return Chosen(chosen.view, chosen.names, given[0])
        if name == "with_join_key_map":
            return chosen
        return self._unknown(node, scope, f"{name}() is not followed")

    def _run(self, function: Function, node: ast.Call, scope: Scope) -> Value:
        arguments = function.node.args
        inner = Scope(function.scope.path, {}, function.scope)
        names = [each.arg for each in (*arguments.posonlyargs, *arguments.args)]
        for each, default in zip(names[len(names) - len(arguments.defaults) :], arguments.defaults, strict=True):
            inner.names[each] = self.value(default, function.scope)
        for argument, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
            if value is not None:
                inner.names[argument.arg] = self.value(value, function.scope)
        names_all = {*names, *(each.arg for each in arguments.kwonlyargs)}
        keywords = self._keywords(node, scope)
        is_open = (
            arguments.vararg is not None or any(isinstance(each, ast.Starred) for each in node.args) or "?" in keywords
        )
        if is_open or len(node.args) > len(names) or (keywords.keys() - names_all and arguments.kwarg is None):
            return self._unknown(node, scope, f"how {function.node.name} is called is not followed")
        inner.names |= dict(zip(names, (self.value(each, scope) for each in node.args), strict=False))
        inner.names |= {name: value for name, value in keywords.items() if name in names_all}
        if arguments.kwarg is not None:
            inner.names[arguments.kwarg.arg] = {
                name: value for name, value in keywords.items() if name not in names_all
            }
        if self._depth >= MOST_DEEP:
            return self._unknown(node, scope, f"{function.node.name} calls itself too deeply")
        self._depth += 1
        try:
            self._block(function.node.body, inner)
        except _Return as ended:
            return ended.value
        finally:
            self._depth -= 1
        return None

    # Bounds

    def _step(self) -> None:
        self._steps += 1
        if self._steps > MOST_STEPS:
            raise _Exhausted

    def _short(self, value: Value, node: ast.AST, scope: Scope) -> Value:
        is_long = isinstance(value, str | list | tuple | dict) and len(value) > MOST_LENGTH
        is_large = isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**63
        return self._unknown(node, scope, "it is too large") if is_long or is_large else value

    def _unknown(self, node: ast.AST, scope: Scope, reason: str) -> Unknown:
        return Unknown(f"{scope.path}:{getattr(node, 'lineno', 1)}: {reason}")


class _Open(Exception):
    """A loop over what is not known."""


_PLAIN = (str, int, float, bool, list, tuple, dict, timedelta, type(None))
_OF_TEXTS = frozenset(
    {
        "capitalize",
        "endswith",
        "join",
        "lower",
        "lstrip",
        "removeprefix",
        "removesuffix",
        "rstrip",
        "split",
        "startswith",
    }
    | {"strip", "title", "upper"}
)
_OPERATORS: Mapping[type[ast.operator], Callable[[object, object], object]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.BitOr: operator.or_,
}
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[object, object], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,  # type: ignore[dict-item]
    ast.LtE: operator.le,  # type: ignore[dict-item]
    ast.Gt: operator.gt,  # type: ignore[dict-item]
    ast.GtE: operator.ge,  # type: ignore[dict-item]
    ast.In: lambda item, many: item in many,  # type: ignore[operator]
    ast.NotIn: lambda item, many: item not in many,  # type: ignore[operator]
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
}
_CALLED: Mapping[str, Callable[..., object]] = {
    "bool": bool,
    "enumerate": lambda many: [*enumerate(many)],
    "float": float,
    "frozenset": lambda many=(): [*dict.fromkeys(many)],
    "int": int,
    "len": len,
    "list": lambda many=(): [*many],
    "max": max,
    "min": min,
    "range": lambda *ends: [*range(*ends)],
    "reversed": lambda many: [*reversed(many)],
    "set": lambda many=(): [*dict.fromkeys(many)],
    "sorted": sorted,
    "str": str,
    "sum": sum,
    "tuple": lambda many=(): (*many,),
    "zip": lambda *many: [*zip(*many, strict=False)],
}


def _may_combine(op: ast.operator, left: Value, right: Value) -> bool:
    if isinstance(op, ast.Mult):  # of a text or a list: its length is known only once it is made
        for one, other in ((left, right), (right, left)):
            if isinstance(one, str | list | tuple):
                return isinstance(other, int) and len(one) * max(other, 0) <= MOST_LENGTH
    if isinstance(op, ast.Mod) and isinstance(left, str):
        return False
    if isinstance(op, ast.BitOr):
        return isinstance(left, dict) and isinstance(right, dict)
    return all(isinstance(each, _PLAIN) for each in (left, right))


def _last(named: Foreign) -> str:
    return named.name.rpartition(".")[2]


def _loaded(target: ast.expr) -> ast.expr:
    copied = ast.parse(ast.unparse(target), mode="eval").body
    return ast.copy_location(copied, target)
