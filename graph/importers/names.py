"""What a manifest's references mean: asset keys, or names of what the same document declares."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from graph.errors import InvalidInput, quoted
from graph.importers.shapes import near
from graph.keys import PART_OF, AssetKey, AssetKind, alias_key

_KINDS = frozenset(kind.value for kind in AssetKind)


@dataclass
class Names:
    """Of one document."""

    _declared: dict[AssetKey, None] = field(default_factory=dict)
    _by_name: dict[str, list[AssetKey]] = field(default_factory=dict)
    _parts: dict[AssetKey, list[AssetKey]] = field(default_factory=dict)

    def add(self, key: AssetKey) -> None:
        self._declared[key] = None
        if key.container and not key.is_alias:
            self._parts.setdefault(key.container, []).append(key)
        for name in _short_forms(key):
            self._by_name.setdefault(name, []).append(key)

    def key(self, text: str, kinds: Sequence[AssetKind]) -> AssetKey:
        """The asset that `text` means, which is of one of `kinds`. Raises InvalidInput."""
        if "/" in text and text.partition(":")[0] in _KINDS:
            key = AssetKey.parse(text)
            if key.kind not in kinds:
                raise InvalidInput(f"{key} is a {key.kind}, where a {_either(kinds)} is needed", text)
            self._refuse_dangling(key)
            return key
        found = [key for key in self._by_name.get(text, ()) if key.kind in kinds]
        if not found and (part := self._undeclared_part(text, kinds)):
            return part
        if len(found) > 1:
            raise InvalidInput(f"{quoted(text)} may be {_either(map(str, found))}; write the key", text)
        if not found:
            known = [name for name, keys in self._by_name.items() if any(key.kind in kinds for key in keys)]
            what = f"no {_either(kinds)}" if len(kinds) <= 3 else "nothing"
            raise InvalidInput(
                f"{quoted(text)} is {what} that this document declares{near(text, known) or '.'}"
                " What others declare is named by its key, kind:namespace/name#part",
                text,
            )
        return found[0]

    def _undeclared_part(self, text: str, kinds: Sequence[AssetKind]) -> AssetKey | None:
        """A part that the document does not list, of a container that it declares without listing its parts."""
        for mark in ("#", "@", ":"):
            name, found, part = text.partition(mark)
            containers = {key for key in self._by_name.get(name, ()) if PART_OF.get(key.kind) in kinds} if found else ()
            if len(containers) == 1 and part:
                container = next(iter(containers))
                key = alias_key(container, part) if mark == "@" else container.part_key(*_path(container, part))
                self._refuse_dangling(key)
                return key
        return None

    def _refuse_dangling(self, key: AssetKey) -> None:
        if key in self._declared or key.container not in self._declared or key.is_alias:
            return
        siblings = self._parts.get(key.container, ())
        if siblings:
            known = [str(other.part) for other in siblings]
            raise InvalidInput(
                f"this document declares {key.container}, but not its {key.kind} {quoted(str(key.part))}"
                f"{near(str(key.part), known)}",
                key,
            )


def _short_forms(key: AssetKey) -> list[str]:
    if key.is_alias:
        names = [f"{key.name}{key.part}"]
    elif key.kind is AssetKind.FEATURE:
        names = [f"{key.name}#{key.part}", f"{key.name}:{key.part}"]
    else:
        names = [f"{key.name}#{key.part}" if key.part else key.name]
    return [*names, *(f"{key.namespace}/{name}" for name in names)]


def _path(container: AssetKey, part: str) -> list[str]:
    return part.split(".") if container.kind is AssetKind.DATASET else [part]


def _either(words: Iterable[str]) -> str:
    return " or ".join(words)
