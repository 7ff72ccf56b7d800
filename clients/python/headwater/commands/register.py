"""`headwater register`: one asset or flow from options, or a document of many."""

from __future__ import annotations

import json
import sys
import uuid
from pathlib import Path
from typing import Annotated, Any, Optional
from urllib.parse import unquote

import typer

from headwater import asked, manifests
from headwater.commands import options as given
from headwater.completion import asset_keys
from headwater.forms import Json, print_plan, write
from headwater.terminal import (
    WRITING_EXIT_CODES,
    Output,
    Panel,
    TextOrJson,
    Token,
    Url,
    connected,
    console,
    sums,
    telling,
)

ASSET = "The asset"

What = Annotated[Optional[str], typer.Argument(help="Its key, as dataset:warehouse/orders.", metavar="ASSET", autocompletion=asset_keys, show_default=False)]  # fmt: skip  # noqa: UP045
Document = Annotated[Optional[Path], typer.Option("--file", "-f", help="A document as `ManifestInput` of the API, in JSON or YAML, instead of options; - is standard input.", show_default=False)]  # fmt: skip  # noqa: UP045
From = Annotated[Optional[list[str]], typer.Option("--from", help="What flows into the asset; may be repeated.", metavar="ASSET", autocompletion=asset_keys, show_default=False)]  # fmt: skip  # noqa: UP045
To = Annotated[Optional[list[str]], typer.Option("--to", help="What the asset flows into. Without an asset: from there to here.", metavar="ASSET", autocompletion=asset_keys, show_default=False)]  # fmt: skip  # noqa: UP045
Via = Annotated[Optional[str], typer.Option("--via", help="The job that does it.", metavar="JOB", autocompletion=asset_keys, show_default=False)]  # fmt: skip  # noqa: UP045
Description = Annotated[Optional[str], typer.Option(help="What it is, for people.", show_default=False, rich_help_panel=ASSET)]  # fmt: skip  # noqa: UP045
OwnedBy = Annotated[Optional[list[str]], typer.Option("--owner", help="Who answers for it, as risk-ml or risk-ml=@risk-ml; may be repeated.", show_default=False, rich_help_panel=ASSET)]  # fmt: skip  # noqa: UP045
Tags = Annotated[Optional[list[str]], typer.Option("--tag", help="A word to find it by; may be repeated.", show_default=False, rich_help_panel=ASSET)]  # fmt: skip  # noqa: UP045
Tier = Annotated[Optional[int], typer.Option("--tier", min=1, max=4, help="How critical it is: 1 is most.", show_default=False, rich_help_panel=ASSET)]  # fmt: skip  # noqa: UP045
Environment = Annotated[Optional[str], typer.Option(help="Where it runs, as production.", show_default=False, rich_help_panel=ASSET)]  # fmt: skip  # noqa: UP045
SourceLink = Annotated[Optional[str], typer.Option(help="Where its source can be read.", show_default=False, rich_help_panel=ASSET)]  # fmt: skip  # noqa: UP045
Type = Annotated[Optional[str], typer.Option("--type", help="Of a column or feature.", show_default=False, rich_help_panel=ASSET)]  # fmt: skip  # noqa: UP045
Attributes = Annotated[Optional[list[str]], typer.Option("--attribute", help="NAME=VALUE, a value in JSON or else a text; may be repeated.", show_default=False, rich_help_panel=ASSET)]  # fmt: skip  # noqa: UP045
Origin = Annotated[Optional[str], typer.Option(help="The source that says so.", show_default="api: and your name")]  # fmt: skip  # noqa: UP045
Basis = Annotated[str, typer.Option(help="How it knows: declared, imported, observed or inferred.", parser=given.one_of(given.BASES), autocompletion=given.completed_from(given.BASES), metavar="BASIS", show_default="declared")]  # fmt: skip
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")]

_LISTS = {
    "dataset": "datasets",
    "column": "columns",
    "feature_view": "featureViews",
    "feature": "features",
    "job": "jobs",
    "run": "runs",
    "model": "models",
    "model_version": "modelVersions",
    "deployment": "deployments",
    "consumer": "consumers",
}
_TYPED = ("column", "feature")


def add_to(app: typer.Typer) -> None:
    app.command(epilog=WRITING_EXIT_CODES, rich_help_panel=Panel.TELL)(register)


def register(
    asset: What = None,
    file: Document = None,
    from_: From = None,
    to: To = None,
    via: Via = None,
    description: Description = None,
    owner: OwnedBy = None,
    tag: Tags = None,
    tier: Tier = None,
    environment: Environment = None,
    source_link: SourceLink = None,
    type_: Type = None,
    attribute: Attributes = None,
    origin: Origin = None,
    basis: Basis = "declared",
    dry_run: DryRun = False,
    url: Url = None,
    token: Token = None,
    output: TextOrJson = Output.TEXT,
) -> None:
    """Register an asset, a flow, or a document of many.

    What is not said stays as it is. For example:

    headwater register consumer:shop/report --owner shop --from deployment:risk/scores
    """
    stated = {
        "description": description,
        "owners": [_owner(each) for each in owner] if owner else None,
        "tags": tag,
        "tier": tier,
        "environment": environment,
        "sourceLink": source_link,
        "type": type_,
        "attributes": dict(map(_attribute, attribute)) if attribute else None,
    }
    stated = {name: value for name, value in stated.items() if value is not None}
    if file is not None and (asset or from_ or to or stated):
        raise typer.BadParameter("a document says all by itself: leave out the asset and its options, or --file")
    with telling(), connected(url, token) as client:
        manifest = _document(file) if file is not None else _manifest(asset, from_ or [], to or [], via, stated)
        envelope = {"origin": origin, "basis": basis, "dryRun": dry_run, "operationId": str(uuid.uuid4())}
        done = asked.register(client, manifest, envelope)
    if output is Output.JSON:
        write(done if dry_run else {name: value for name, value in done.items() if name != "plan"}, output)
    elif dry_run:
        print_plan(done)
    elif done["changed"]:
        console().print(f"Registered: {sums(done, 'added', 'changed', 'withdrawn')}; revision {done['revision']}.")
    else:
        console().print(f"Nothing changed: all of it held already at revision {done['revision']}.")


def _manifest(asset: str | None, sources: list[str], targets: list[str], via: str | None, stated: Json) -> Json:
    """As `ManifestInput`. Raises BadParameter."""
    if asset is None:
        if stated:
            raise typer.BadParameter("say which asset this is of")
        if not sources or not targets:
            raise typer.BadParameter("say an asset, or a flow with --from and --to, or a document with --file")
        pairs = [(source, target) for source in sources for target in targets]
        return {"flows": [_flow(source, target, via) for source, target in pairs]}
    kind, named = _named(asset)
    if "type" in stated and kind not in _TYPED:
        raise typer.BadParameter(f"a {kind.replace('_', ' ')} has no type; give it as --attribute type=…")
    flows = [_flow(source, asset, via) for source in sources] + [_flow(asset, target, via) for target in targets]
    return {_LISTS[kind]: [{**named, **stated}], "flows": flows}


def _named(key: str) -> tuple[str, Json]:
    """The kind, and what of an input names the asset. Raises BadParameter."""
    kind, _, rest = key.partition(":")
    head, _, part = rest.partition("#")
    namespace, slash, name = head.partition("/")
    if kind not in _LISTS or not (namespace and slash and name) or bool(part) is not (kind in _PARTS):
        raise typer.BadParameter(
            f"{key!r} is not the key of an asset that can be registered: write kind:namespace/name, or kind:namespace/name#part"
            f" for a {', '.join(_PARTS)}; the kinds are {', '.join(_LISTS)}"
        )
    if kind in _PARTS:
        of, container, field = _PARTS[kind]
        value = [unquote(step) for step in part.split(".")] if kind == "column" else unquote(part)
        return kind, {of: f"{container}:{head}", field: value}
    return kind, {"namespace": unquote(namespace), "name": unquote(name)}


_PARTS = {
    "column": ("dataset", "dataset", "path"),
    "feature": ("view", "feature_view", "name"),
    "run": ("job", "job", "runId"),
    "model_version": ("model", "model", "version"),
}


def _flow(source: str, target: str, via: str | None) -> Json:
    return {"source": source, "target": target, **({"via": via} if via else {})}


def _owner(text: str) -> Json:
    name, equals, contact = text.partition("=")
    return {"name": name, **({"contact": contact} if equals else {})}


def _attribute(text: str) -> tuple[str, Any]:
    """Raises BadParameter."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _document(file: Path) -> Json:
    """Raises ManifestUnreadable, OSError. JSON is YAML, as far as it is read here."""
    by_pipe = str(file) == "-"
    return manifests.parsed(
        sys.stdin.buffer.read() if by_pipe else file.read_bytes(), "standard input" if by_pipe else str(file)
    )
