"""What a manifest takes from other files of its repository: a file reference, and the text it names → attributes."""

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from graph.errors import InvalidInput, quoted
from graph.importers.contracts import openapi_of, request_or_response, signature_of
from graph.importers.functions import source_of
from graph.importers.shapes import near
from graph.importers.values import text
from graph.keys import AssetKey
from graph.model import Json


class Taken(StrEnum):
    """The fields of a manifest that may name a file."""

    DEFINITION = "definition"
    """{file, function?, dialect?}"""
    SIGNATURE = "signature"
    """{file}"""
    REQUEST = "request"
    """{file, message?}"""
    RESPONSE = "response"
    """{file, message?}"""
    OPENAPI = "openapi"
    """{file, path, method?}: request and response at once."""


@dataclass(frozen=True)
class Files:
    """The texts of the files of a repository, by path; a document names them by their path from its folder."""

    texts: Mapping[str, str] = field(default_factory=dict)
    folder: str = ""
    """Of the document; empty for the top."""
    named: dict[AssetKey, dict[str, str]] = field(default_factory=dict)
    """Which file says an attribute of an asset: noted as the document is read."""

    def note(self, key: AssetKey, taken: Taken, file: str) -> None:
        sides = ("request", "response") if taken is Taken.OPENAPI else (taken.value,)
        self.named.setdefault(key, {}).update(dict.fromkeys(sides, self.path(file)))

    def path(self, named: str) -> str:
        """In the repository. Raises InvalidInput for what lies outside."""
        path = posixpath.normpath(posixpath.join(self.folder, named))
        if named.startswith("/") or path.startswith("../") or path == "..":
            raise InvalidInput(f"{quoted(named)} is outside of the repository; paths are relative to this file", named)
        return path

    def text(self, named: str) -> str:
        """Raises InvalidInput for a file that is not there."""
        path = self.path(named)
        found = self.texts.get(path)
        if found is None:
            close = [posixpath.relpath(each, self.folder or ".") for each in self.texts]
            raise InvalidInput(f"there is no file {quoted(path)} in the repository{near(named, close)}", named)
        return found

    def beside(self, named: str) -> "Files":
        """As the file that is `named` names others."""
        return Files(self.texts, posixpath.dirname(self.path(named)))


def resolved(field: Taken, reference: Mapping[str, Json], files: Files, of: AssetKey) -> Mapping[str, Json]:  # noqa: ARG001  (errors may name it)
    """The attributes of `of` that a reference to a file comes to. Raises InvalidInput."""
    file = text(reference, "file") or ""
    found = files.text(file)
    if field is Taken.DEFINITION and file.endswith(".sql"):
        dialect = text(reference, "dialect")
        sql: dict[str, Json] = {"sql": found}
        return {"definition": sql | {"dialect": dialect} if dialect else sql}
    if field is Taken.DEFINITION and file.endswith(".py"):
        function = text(reference, "function")
        if function is None:
            raise InvalidInput(f"name the function of {quoted(file)} that computes it", file)
        return {"definition": {"python": source_of(files.path(file), function, files.texts), "function": function}}
    path = files.path(file)
    match field:
        case Taken.SIGNATURE:
            return {"signature": signature_of(found, path)}
        case Taken.REQUEST | Taken.RESPONSE:
            return {field.value: request_or_response(found, path, reference, files.texts)}
        case Taken.OPENAPI:
            request, response = openapi_of(found, path, reference, files.texts)
            sides = {"request": request, "response": response}
            return {name: each for name, each in sides.items() if each is not None}
        case Taken.DEFINITION:
            raise InvalidInput(
                f"{quoted(file)} cannot be read as a {field}: name a file .sql, or .py and its function", file
            )
