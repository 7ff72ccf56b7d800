"""Where in a YAML text the place stands that the service names: there a person looks first."""

import copy
import json
from typing import Any

import pytest
import yaml
from headwater import manifests
from headwater.errors import ManifestUnreadable
from headwater.positions import located, position
from hypothesis import given
from hypothesis import strategies as st

from graph.errors import InvalidManifest
from graph.importers.manifest import read_manifest

# `^` stands before where it is to point.
CASES = {
    "an unknown field, at its name": ("datasets:\n- name: a\n  ^colums: []", "datasets[0].colums: unknown field; x"),
    "a value": ("datasets:\n- name: a\n  tier: ^7", "datasets[0].tier: 7 is not"),
    "flow style": ("datasets: [{name: a, tier: 1}, {name: b, tier: ^9}]", "datasets[1].tier: 9 is not"),
    "what is missing, at what it is missing in": ("consumers:\n- ^type: service", "consumers[0].name: missing"),
    "what is there and says nothing, at its name": ("consumers:\n- ^name:\n  type: x", "consumers[0].name: missing"),
    "the whole document": ("^- 1\n", "the document: a list is not"),
    "an item of a list": ("a:\n  b: [x, ^y]", "a.b[1]: 'y' is"),
    "one item without its list": ("consumers: [{name: c, uses: ^nope}]", "consumers[0].uses[0]: 'nope' is"),
    "the short form of a mapping": ("d: [{owners: [^x]}]", "d[0].owners[0].name: y"),
    "a block scalar": ("jobs:\n- definition: ^|\n    select 1\n    from t", "jobs[0].definition: y"),
    "quoted": ('a: ^"x\\ty"', "a: y"),
    "after a comment and blank lines": ("# a: 1\n\n\na: ^1 # a", "a: 1 is not"),
    "names with dots and colons": ("m:\n  a: 1\n  a.b: 2\n  'a: b': ^3", "m.a: b: 3 is"),
    "of two such names the longer": ("m:\n  a: {b: 1}\n  a.b: ^2", "m.a.b: 2 is"),
    "merged in, where it was written": (
        "x: &x {name: n, tier: ^7}\ndatasets:\n- <<: *x\n  type: t",
        "datasets[0].tier: 7 is",
    ),
    "what stands itself goes before what is merged in": (
        "x: &x {tier: 6}\ndatasets:\n- <<: *x\n  tier: ^7",
        "datasets[0].tier: 7 is",
    ),
    "merged in from several": (
        "x: &x {tier: ^6}\ny: &y {name: n}\nd:\n- <<: [*y, *x]",
        "d[0].tier: 6 is",
    ),
    "an alias, at its name": ("x: &x 7\nd:\n- ^tier: *x", "d[0].tier: 7 is"),
    "within an alias, where it was written": ("x: &x [{name: a, tier: ^7}]\nd: *x", "d[0].tier: 7 is"),
    "letters of several bytes": ("a: [ü, 'ζζ', ^🍷]", "a[2]: y"),
    "tabs within a line": ("a: [x,\t^y]", "a[1]: y"),
    "an explicit key": ("? a\n: ^1", "a: 1 is"),
    "Windows lines": ("a: 1\r\nb: ^2\r\n", "b: 2 is"),
    "more documents than one are no matter": ("---\na: ^1\n", "a: 1 is"),
}


@pytest.mark.parametrize(("marked", "problem"), CASES.values(), ids=CASES.keys())
def test_it_points_where_a_person_looks(marked: str, problem: str) -> None:
    before = marked[: marked.index("^")]
    lines = before.replace("\r\n", "\n").split("\n")
    found = position(marked.replace("^", "", 1), problem)
    assert (found.line, found.column) == (len(lines), len(lines[-1]) + 1)


def test_a_line_is_shown_with_a_mark_below() -> None:
    texts = {"a.yaml": "x: 1\n\ty: [1, 2]\n".replace("\t", ""), "a.yaml: b": "z: 1"}
    assert located("a.yaml: y[1]: 2 is wrong\nsomething else", texts) == (
        "a.yaml:2:8: y[1]: 2 is wrong\n    y: [1, 2]\n           ^\nsomething else"
    )
    assert located("base: a.yaml: x: no", {"base: a.yaml": "x: 1"}, {"base: a.yaml": "a.yaml at main"}).startswith(
        "a.yaml at main:1:4: x: no\n"
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [\n", ["f:1:5: "]),
        (
            "a: 1\na: 2\nb: {c: 1, c: 2}\n",
            ["f:2:1: 'a' stands twice here; first in line 1", "f:3:11: 'c' stands twice"],
        ),
        (
            "a: .nan\nb: [-.inf, !!binary aGk=]",
            ["f:1:4: .nan is no number", "f:2:5: -.inf is", "f:2:12: the tag !binary"],
        ),
        (
            "on: 1\n2: 3\n",
            ['f:1:1: the name on is not text; write it in quotes, "on"', "f:2:1: the name 2 is not text"],
        ),
        ("a: !!python/object/apply:os.system [true]", ["f:1:4: the tag !python/object/apply:os.system stands for"]),
        ("a: *b", ["f:1:4: found undefined alias"]),
        ("a: 1\n b: 2", ["f:2:3: mapping values are not allowed"]),
        ("a: 'x", ["f:1:6: while scanning a quoted scalar, found unexpected end of stream"]),
        ("a: 1\n---\nb: 2", ["f:2:1: expected a single document"]),
    ],
)
def test_what_no_document_can_hold_is_told_with_its_place(text: str, told: list[str]) -> None:
    with pytest.raises(ManifestUnreadable) as refused:
        manifests.parsed(text.encode(), "f")
    lines = str(refused.value).splitlines()
    assert [line[: len(start)] for line, start in zip(lines, told, strict=True)] == told


WHOLE: dict[str, Any] = {
    "version": 1,
    "namespace": "n",
    "datasets": [
        {"name": "t", "owners": ["x", {"name": "y"}], "columns": [{"name": "a", "type": "t"}, {"path": ["b", "c"]}]},
        {"name": "s", "derived_from": ["t", {"asset": "t#a", "default": 0}], "attributes": {"k": {"l": [1]}}},
    ],
    "feature_views": [{"name": "v", "entities": ["e"], "features": [{"name": "f", "derived_from": "t#a"}]}],
    "deployments": [{"name": "d", "tier": 2, "reads": ["v:f"], "request": {"json_schema": {"type": "object"}}}],
    "consumers": [{"name": "c", "type": "service", "uses": [{"asset": "d", "fields": ["x"]}]}],
}


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(each for name, one in inner for each in places(one, (*path, name)))]


def written(path: tuple[str | int, ...]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


@given(
    path=st.sampled_from([path for path in places(WHOLE) if path]),
    flow=st.sampled_from([None, True, False]),
    indent=st.integers(2, 6),
)
def test_whatever_value_is_wrong_wherever_it_stands_it_is_found(
    path: tuple[str | int, ...], flow: bool | None, indent: int
) -> None:
    document = copy.deepcopy(WHOLE)
    holder = document
    for step in path[:-1]:
        holder = holder[step]  # type: ignore[index]
    holder[path[-1]] = "THE-MARK"  # type: ignore[index]
    text = yaml.safe_dump(document, default_flow_style=flow, indent=indent, sort_keys=False, width=60)
    found = position(text, f"{written(path)}: is wrong")
    assert text.splitlines()[found.line - 1][found.column - 1 :].startswith("THE-MARK")


@given(path=st.sampled_from([path for path in places(WHOLE) if path]), wrong=st.sampled_from([[], {}, 7, True, "??"]))
def test_whatever_the_service_says_of_a_wrong_value_is_placed_at_it_or_in_what_holds_it(
    path: tuple[str | int, ...], wrong: object
) -> None:
    document = copy.deepcopy(WHOLE)
    holder = document
    for step in path[:-1]:
        holder = holder[step]  # type: ignore[index]
    holder[path[-1]] = wrong  # type: ignore[index]
    text = yaml.safe_dump(document, sort_keys=False)
    parsed = manifests.parsed(text.encode(), "f")
    assert json.dumps(parsed) == json.dumps(document)
    try:
        read_manifest(parsed)
    except InvalidManifest as error:
        lines = len(text.splitlines())
        for problem in error.problems:
            found = position(text, problem)
            assert 1 <= found.line <= lines
            named = problem.partition(": ")[0]
            if named.startswith(("datasets", "feature_views", "deployments", "consumers")):
                assert found.line > 2, (problem, found)
