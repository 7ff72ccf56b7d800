"""Whether two definitions, in SQL or Python, say the same.

A definition is `{"sql": text, "dialect": name}`, `{"python": text, "function": name}`, or a text whose language is not told.
Those that are equal but for how they are written are no difference to readers; of all others, values may differ.
"""

import re
from typing import NamedTuple

from graph.check.python_forms import NotPython, python_form
from graph.check.sql_forms import NotSql, added_columns, changed_columns, sql_forms
from graph.check.verdicts import Difference, Verdict
from graph.importers.values import text
from graph.model import Json


def definition_differences(before: Json, after: Json) -> list[Difference]:
    verdict, reason = _judged(_definition(before), _definition(after))
    return [Difference("definition", before, after, verdict, reason)]


def columns_redefined(before: Json, after: Json) -> set[str] | None:
    """The columns of one query in SQL that come otherwise, come or go, where rows stay the same; None: anything may differ."""
    old, new = _definition(before), _definition(after)
    if "python" in (old.language, new.language) or old.language is None or old.detail != new.detail:
        return None
    try:
        were, are = (sql_forms(each.text, each.detail or "") for each in (old, new))
    except NotSql:
        return None
    return changed_columns(were[0], are[0]) if len(were) == len(are) == 1 else None


class _Definition(NamedTuple):
    text: str
    language: str | None
    detail: str | None
    """The dialect of SQL, or the function of Python."""


def _definition(value: Json) -> _Definition:
    if isinstance(value, dict):
        for language, detail in (("sql", "dialect"), ("python", "function")):
            source = text(value, language)
            if source is not None:
                return _Definition(source, language, text(value, detail))
    return _Definition(value if isinstance(value, str) else str(value), None, None)


_SAME = "it is written in another way, and says the same"
_OTHER = "its definition differs: its values may"


def _judged(before: _Definition, after: _Definition) -> tuple[Verdict, str]:
    language = before.language or after.language
    if before.language and after.language and before.language != after.language:
        return (
            Verdict.BEHAVIOURAL,
            f"it is written in {after.language} instead of {before.language}: its values may differ",
        )
    if language is None:
        language = "python" if all(map(_looks_like_python, (before.text, after.text))) else "sql"
    if language == "python":
        return _of_python(before, after)
    return _of_sql(before, after, is_told=before.language is not None or after.language is not None)


def _looks_like_python(definition: _Definition | str) -> bool:
    said = definition if isinstance(definition, str) else definition.text
    return (
        re.search(r"^\s*(def|async def|import|from \S+ import|class|@)\b|\blambda\b|\breturn\b", said, re.MULTILINE)
        is not None
    )


def _of_python(before: _Definition, after: _Definition) -> tuple[Verdict, str]:
    forms = []
    for each in (before, after):
        try:
            forms.append(python_form(each.text, each.detail))
        except NotPython as error:
            if _words(before.text) == _words(after.text) and before.text.splitlines() == after.text.splitlines():
                return Verdict.NONE, _SAME
            return Verdict.UNKNOWN, f"whether its definition says the same cannot be told: {error}"
    return (Verdict.NONE, _SAME) if forms[0] == forms[1] else (Verdict.BEHAVIOURAL, _OTHER)


def _of_sql(before: _Definition, after: _Definition, is_told: bool) -> tuple[Verdict, str]:
    if before.detail and after.detail and before.detail != after.detail:
        return Verdict.BEHAVIOURAL, f"it is run as {after.detail} instead of {before.detail}: its values may differ"
    dialect = before.detail or after.detail or ""
    try:
        old, new = (sql_forms(each.text, dialect) for each in (before, after))
    except NotSql as error:
        if _words(before.text) == _words(after.text):
            return Verdict.NONE, _SAME
        if not is_told:
            return Verdict.BEHAVIOURAL, _OTHER
        return Verdict.UNKNOWN, f"whether its definition says the same cannot be told: {error}"
    if old == new:
        return Verdict.NONE, _SAME
    if len(old) == len(new):
        differing = [(a, b) for a, b in zip(old, new, strict=True) if a != b]
        came = [added_columns(a, b) for a, b in differing]
        if all(came):
            names = ", ".join(name for each in came for name in each or ())
            return Verdict.ADDITIVE, f"it gives {names}, too, and all else as before"
    return Verdict.BEHAVIOURAL, _OTHER


def _words(said: str) -> list[str]:
    """Without comments that stand on lines of their own."""
    return [word for line in said.splitlines() if not line.lstrip().startswith(("--", "#")) for word in line.split()]
