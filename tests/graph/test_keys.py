import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.errors import InvalidKey
from graph.keys import CONTAINER_OF, MAX_KEY_BYTES, AssetKey, AssetKind, alias_key, refuse_outer_space

ORDERS = AssetKey.of(AssetKind.DATASET, "warehouse", "orders")

# NFC may lengthen a text, so these stay well below the limit.
texts = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=40)


@st.composite
def keys(draw: st.DrawFn) -> AssetKey:
    kind = draw(st.sampled_from(AssetKind))
    if kind is AssetKind.RUN:
        path = [str(draw(st.uuids()))]
    elif kind is AssetKind.COLUMN:
        path = draw(st.lists(texts, min_size=1, max_size=4))
    else:
        path = [draw(texts)] if kind in CONTAINER_OF else []
    return AssetKey.of(kind, draw(texts), draw(texts), *path)


@given(keys())
def test_a_key_is_what_its_text_says(key: AssetKey) -> None:
    assert AssetKey.parse(str(key)) == key


@given(keys(), keys())
def test_different_keys_have_different_texts(one: AssetKey, other: AssetKey) -> None:
    assert (str(one) == str(other)) == (one == other)


@given(keys())
def test_a_text_is_printable_ascii_without_space(key: AssetKey) -> None:
    assert all("!" <= character <= "~" for character in str(key))


@given(keys())
def test_parts_follow_from_containers_and_back(key: AssetKey) -> None:
    if key.container is None:
        assert key.path == ()
    else:
        assert key.container.kind is CONTAINER_OF[key.kind]
        assert key.container.part_key(*key.path) == key
        assert str(key).startswith(f"{key.kind}:{str(key.container).split(':', 1)[1]}#")


@given(texts, texts)
def test_openlineage_pairs_are_kept(namespace: str, name: str) -> None:
    key = AssetKey.of(AssetKind.DATASET, namespace, name)
    assert (key.namespace, key.name) == (unicodedata.normalize("NFC", namespace), unicodedata.normalize("NFC", name))


@given(st.text(max_size=60))
def test_a_text_that_is_a_key_is_the_canonical_one(text: str) -> None:
    for written in (text, f"dataset:{text}", f"dataset:{text}/{text}", f"column:a/b#{text}"):
        try:
            key = AssetKey.parse(written)
        except InvalidKey:
            continue
        assert str(key) == written


@given(keys(), st.data())
def test_a_key_written_otherwise_is_refused(key: AssetKey, data: st.DataObject) -> None:
    text = str(key)
    at = data.draw(st.integers(text.index(":") + 1, len(text) - 1))
    byte = text[at]
    if byte in "/#%" or "%" in text[max(0, at - 2) : at]:
        return
    if byte == "." and len(key.path) > 1:  # between steps of a field path; escaped, it would be a part of a name
        return
    with pytest.raises(InvalidKey):
        AssetKey.parse(f"{text[:at]}%{ord(byte):02X}{text[at + 1 :]}")


@pytest.mark.parametrize(
    ("namespace", "name", "text"),
    [
        ("warehouse", "orders", "dataset:warehouse/orders"),
        ("postgres://db:5432", "public.orders", "dataset:postgres%3A%2F%2Fdb%3A5432/public.orders"),
        ("s3://bucket", "path/to/file.csv", "dataset:s3%3A%2F%2Fbucket/path%2Fto%2Ffile.csv"),
        ("a b", "ü~-_.", "dataset:a%20b/%C3%BC~-_."),
        ("u\u0308", "e\u0301", "dataset:%C3%BC/%C3%A9"),
        (" x ", "100%", "dataset:%20x%20/100%25"),
    ],
)
def test_examples(namespace: str, name: str, text: str) -> None:
    assert str(AssetKey.of(AssetKind.DATASET, namespace, name)) == text
    assert str(AssetKey.parse(text)) == text


def test_a_nested_column_is_its_path() -> None:
    key = ORDERS.part_key("address", "zip.code")
    assert str(key) == "column:warehouse/orders#address.zip%2Ecode"
    assert AssetKey.parse(str(key)).path == ("address", "zip.code")
    assert key.part == "address.zip%2Ecode"


def test_an_alias_is_no_version_of_its_own() -> None:
    key = alias_key(AssetKey.of(AssetKind.MODEL, "risk", "fraud"), "champion")
    assert str(key) == "model_version:risk/fraud#%40champion"
    assert key.is_alias
    assert not AssetKey.parse("model_version:risk/fraud#7").is_alias
    assert not AssetKey.parse("column:risk/fraud#%40champion").is_alias


@pytest.mark.parametrize(
    "text",
    [
        "",
        "dataset",
        "dataset:warehouse",
        "dataset:warehouse/",
        "dataset:/orders",
        "dataset:warehouse/orders/more",
        "dataset:warehouse/orders#part",
        "column:warehouse/orders",
        "column:warehouse/orders#",
        "column:warehouse/orders#a..b",
        "table:warehouse/orders",
        "DATASET:warehouse/orders",
        "dataset:ware house/orders",
        "dataset:ü/orders",
        "dataset:%c3%bc/orders",
        "dataset:%C3/orders",
        "dataset:%6Frders/x",
        "dataset:u%CC%88/orders",
        "dataset:a%00/orders",
        "dataset:a%0A/orders",
        "dataset:a%2/orders",
        "dataset:warehouse/orders\n",
        "feature:a/b#c.d#e",
        "run:etl/total#0192F0C1-2F6E-7C3A-9D3E-5B8F7A6C4D21",
        "run:etl/total#0192f0c12f6e7c3a9d3e5b8f7a6c4d21",
        "run:etl/total#1",
    ],
)
def test_texts_that_are_no_keys(text: str) -> None:
    with pytest.raises(InvalidKey):
        AssetKey.parse(text)


@given(st.characters(categories=("Cc", "Cs")), st.sampled_from(("namespace", "name", "part")))
def test_control_characters_are_refused_everywhere(character: str, place: str) -> None:
    parts = {"namespace": "n", "name": "m", "part": "p"} | {place: f"a{character}b"}
    with pytest.raises(InvalidKey, match=f"U\\+{ord(character):04X}"):
        AssetKey.of(AssetKind.COLUMN, *parts.values())


@pytest.mark.parametrize("kind", AssetKind)
def test_empty_names_are_refused(kind: AssetKind) -> None:
    path = [""] if kind in CONTAINER_OF else []
    for namespace, name in (("", "x"), ("x", "")):
        with pytest.raises(InvalidKey, match="empty"):
            AssetKey.of(kind, namespace, name, *path)
    if path:
        with pytest.raises(InvalidKey):
            AssetKey.of(kind, "x", "x", *path)


@pytest.mark.parametrize("letter", ["a", "ü", "\U0001f642"])
def test_the_limit_is_in_bytes_before_escaping(letter: str) -> None:
    fits = MAX_KEY_BYTES // len(letter.encode())
    name = letter * (fits - 1)
    rest = "n" * (MAX_KEY_BYTES - len(name.encode()))
    key = AssetKey.of(AssetKind.DATASET, rest, name)
    assert AssetKey.parse(str(key)) == key
    with pytest.raises(InvalidKey, match=str(MAX_KEY_BYTES)):
        AssetKey.of(AssetKind.DATASET, rest + "n", name)


@pytest.mark.parametrize("text", [" a", "a ", "\u00a0a", "a\u2003"])
def test_outer_space_can_be_refused(text: str) -> None:
    refuse_outer_space("a b")
    with pytest.raises(InvalidKey, match="space"):
        refuse_outer_space("fine", text)
