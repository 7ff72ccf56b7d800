"""Reading values that a shape has checked: what is absent, or of another kind, is empty."""

from collections.abc import Iterator, Mapping

from graph.model import Json


def records(of: Mapping[str, Json], name: str, within: str = "") -> Iterator[tuple[str, dict[str, Json]]]:
    dot = f"{within}." if within else ""
    for number, each in enumerate(listed(of.get(name))):
        if isinstance(each, dict):
            yield f"{dot}{name}[{number}]", each


def record(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}


def listed(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def text(of: Mapping[str, Json], name: str) -> str | None:
    value = of.get(name)
    return value if isinstance(value, str) else None


def texts(value: Json) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []
