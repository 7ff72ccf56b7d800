"""Documents of other systems that somebody damaged: hypothesis strategies."""

import copy
import json
from typing import Any

from hypothesis import strategies as st


def _nested() -> Any:
    """As deep as a parser lets it be."""
    value: Any = []
    for _ in range(900):
        value = [value]
    return value


_HOSTILE = st.one_of(
    st.sampled_from(
        [
            *(None, True, False, 0, -1, 7, 1.5, 10**30, -(10**18), float("nan"), float("inf")),
            *("", " ", "@", "x", "7", "é", "e\u0301", "\x00", "\ud800", "x" * 2_000, "a:b@c/d#e", "{", "[[", "..."),
            *('{"uri": 3}', '{"mlflow_colspec": [{"name": "\\ud800"}, {"name": ""}, 3]}', '[{"name": {}}, null]'),
            *("2026-13-01T00:00:00Z", "9999-12-31T23:59:59Z", "s3://", "http://[", "file:", "//", "-1s"),
        ]
    ),
    st.sampled_from(["[]", "{}", "[null]", "[[]]", "[{}]", '{"": ""}', '{"name": ""}']).map(json.loads),
    st.builds(_nested),
    st.text(max_size=8),
    st.integers(),
    st.dictionaries(st.text(max_size=3), st.none() | st.text(max_size=3), max_size=2),
)


@st.composite
def mangled(draw: st.DrawFn, document: Any) -> Any:
    """The document with one to four of its values replaced, left out, or said twice."""
    made = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 4))):
        places = list(_places(made))
        if not places:
            break
        holder, at = draw(st.sampled_from(places))
        what = draw(st.sampled_from(["replace", "replace", "replace", "leave out", "repeat"]))
        if what == "replace":
            holder[at] = draw(_HOSTILE)
        elif what == "leave out":
            del holder[at]
        elif isinstance(holder, list):
            holder.append(holder[at])
    return made


def _places(value: Any, depth: int = 0) -> Any:
    if depth > 30:
        return
    if isinstance(value, dict):
        for name, inner in value.items():
            yield value, name
            yield from _places(inner, depth + 1)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield value, number
            yield from _places(inner, depth + 1)
