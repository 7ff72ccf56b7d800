"""What documents refer to and nobody registered, by the places where they do."""

from collections.abc import Iterable

from graph.errors import InvalidManifest, NoneRegistered
from graph.importers.project import Project
from graph.importers.shapes import near
from graph.keys import AssetKey


def placed(error: NoneRegistered, project: Project, known: Iterable[str]) -> InvalidManifest | NoneRegistered:
    """A line for each place. `known`: keys that the graph knows, of which one may be meant."""
    keys = set(error.keys)
    lines: dict[tuple[str, str, str], str] = {}
    for subject, place in project.places.items():
        ends = subject if not isinstance(subject, AssetKey) else (subject.container,)
        for end in ends:
            if end is not None and str(end) in keys:
                lines.setdefault((place.document, place.at, str(end)), str(end))
    if not lines:
        return error
    hints = {key: _near(key, known, project) for key in sorted(set(lines.values()))}
    return InvalidManifest(
        [
            f"{document}: {at}: {key} is not registered; declare it here, or apply what declares it first{hints[key]}"
            for (document, at, _), key in lines.items()
        ]
    )


def _near(key: str, known: Iterable[str], project: Project) -> str:
    """Of those of its kind and namespace, or of its container."""
    start = key.partition("#")[0] + "#" if "#" in key else key.partition("/")[0] + "/"
    stated = (str(each.key) for said in project.registrations for each in said.assets)
    alike = {each for keys in (known, stated) for each in keys if each.startswith(start)}
    return near(key, sorted(alike))
