"""Keys of assets, as the service writes them: `kind:namespace/name#part`, percent-escaped."""

from __future__ import annotations

import unicodedata
from urllib.parse import quote, unquote


def key(kind: str, namespace: str, name: str, part: str | None = None) -> str:
    """The key of an asset.

    >>> key("column", "postgres://db:5432", "shop.orders", "total")
    'column:postgres%3A%2F%2Fdb%3A5432/shop.orders#total'
    """
    text = f"{kind}:{_escaped(namespace)}/{_escaped(name)}"
    return text if part is None else f"{text}#{_escaped(part)}"


def key_of(kind: str, named: str, namespace: str = "default") -> str:
    """A key as it stands, or that of `namespace/name` or `name`.

    >>> key_of("model", "risk/fraud"), key_of("model", "model:risk/fraud"), key_of("model", "fraud")
    ('model:risk/fraud', 'model:risk/fraud', 'model:default/fraud')
    """
    if named.startswith(f"{kind}:"):
        return named
    given, slash, name = named.rpartition("/")
    return key(kind, given if slash else namespace, name)


def names_of(text: str) -> tuple[str, str]:
    """The namespace and name of a key.

    >>> names_of("job:risk/train_fraud")
    ('risk', 'train_fraud')
    """
    namespace, _, name = text.partition(":")[2].partition("#")[0].partition("/")
    return unquote(namespace), unquote(name)


def part_of(container: str, kind: str, part: str) -> str:
    """The key of a part.

    >>> part_of("model:risk/fraud", "model_version", "7")
    'model_version:risk/fraud#7'
    """
    return f"{kind}:{container.partition(':')[2]}#{_escaped(part)}"


def column_of(dataset: str, name: str) -> str:
    """The key of a column that is not nested: a dot is part of its name.

    >>> column_of("dataset:warehouse/payments", "amount.eur")
    'column:warehouse/payments#amount%2Eeur'
    """
    return f"column:{dataset.partition(':')[2]}#{_escaped(name).replace('.', '%2E')}"


def _escaped(text: str) -> str:
    return quote(unicodedata.normalize("NFC", text), safe="")
