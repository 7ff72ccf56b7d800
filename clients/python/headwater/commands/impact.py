"""`headwater impact`: who is hit when an asset changes, and who must be told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import typer
from rich.text import Text

from headwater import asked
from headwater.answering import Source, answering
from headwater.commands import options as given
from headwater.commands.lineage import drawn
from headwater.forms import (
    STRUCTURED,
    Code,
    Json,
    ago,
    many,
    markdown_escaped,
    markdown_table,
    print_table,
    reached,
    write,
)
from headwater.simulating import Planned, simulated
from headwater.terminal import (
    READING_EXIT_CODES,
    Drawn,
    GraphFile,
    Output,
    Panel,
    Token,
    Url,
    console,
    progress,
    put,
    telling,
)
from headwater.trees import STYLES, WHENS

NOBODY = "(nobody owns these)"


def add_to(app: typer.Typer) -> None:
    app.command(epilog=READING_EXIT_CODES, rich_help_panel=Panel.ASK)(impact)


def impact(
    asset: given.Key,
    follow: given.Following = given.Follow.VALUES,
    depth: given.Depth = None,
    at: given.At = None,
    known_at: given.KnownAt = None,
    kinds: given.Kinds = None,
    namespaces: given.Namespaces = None,
    owners: given.Owners = None,
    tags: given.Tags = None,
    tiers: given.Tiers = None,
    verified: given.Verified = False,
    planned: Planned = None,
    limit: given.Limit = given.LIMIT,
    graph: GraphFile = None,
    url: Url = None,
    token: Token = None,
    output: Drawn = Output.TEXT,
) -> None:
    """Show who is hit when an asset changes, and whom to tell.

    Counts of what is hit now and at the next training, and the owners of the deployments and consumers among it.
    """
    question = asked.Question(
        asset,
        follow=follow.value.upper(),
        depth=depth,
        at=at,
        known_at=given.known_at(known_at),
        flows=given.flows(None, None, None, verified),
        select=given.selection(kinds, namespaces, owners, tags, tiers),
    )
    with telling(), answering(url, token, graph) as source:
        if planned:
            simulated(source, question, planned, output)
            return
        found = source.lineage(question, arrows=output is Output.MERMAID)
        drawn(found, output)
        if output is Output.MERMAID:
            return
        users = _users(source, question, found)
    counts = Counter((row["kind"], row["when"]) for row in found["assets"])
    if output in STRUCTURED:
        counted = [{"kind": kind, "when": when, "count": count} for (kind, when), count in sorted(counts.items())]
        owned = [
            {"name": name, "contact": contact, "assets": [each["id"] for each in theirs]}
            for name, contact, theirs in _by_owner(users)
        ]
        write({"follow": question.follow, **found, "counts": counted, "users": users, "owners": owned}, output)
    elif output is Output.MARKDOWN:
        put(_markdown(found, counts, users))
    else:
        _tell(found, counts, users, limit)


def _users(source: Source, question: asked.Question, found: Json) -> list[Json]:
    expected = sum(row["kind"].upper() in asked.USERS for row in found["assets"])
    users = []
    with progress("asking for owners", expected, slow=expected > 700) as tell:
        for each in source.users(question, found) if expected else ():
            users.append(each)
            tell(1)
    return users


def headline(found: Json, users: Sequence[Json]) -> str:
    """One sentence: how many deployments and consumers, and when."""
    told = []
    for when, words in (("NOW", "now"), ("NEXT_TRAINING", "at the next training")):
        numbers = Counter(each["kind"].lower() for each in users if each["when"] == when)
        if numbers:
            told.append(
                f"{' and '.join(many(numbers[kind], kind) for kind in ('deployment', 'consumer') if numbers[kind])} {words}"
            )
    if told:
        return f"A change of {found['start']['id']} hits {', '.join(told)}."
    if found["assets"]:
        return f"A change of {found['start']['id']} hits no deployment and no consumer in use."
    return f"Nothing is downstream of {found['start']['id']}" + (" of what was asked for." if found["reached"] else ".")


def _by_owner(users: Sequence[Json]) -> list[tuple[str | None, str | None, list[Json]]]:
    """(name, contact, what is theirs), by name; what nobody owns is last. What is historic needs nobody to be told."""
    found: dict[tuple[str, str | None], list[Json]] = {}
    unowned = []
    for each in users:
        if each["when"] == "HISTORIC":
            continue
        for owner in each["owners"]:
            found.setdefault((owner["name"], owner["contact"]), []).append(each)
        if not each["owners"]:
            unowned.append(each)
    owned: list[tuple[str | None, str | None, list[Json]]] = [
        (name, contact, theirs)
        for (name, contact), theirs in sorted(found.items(), key=lambda item: (item[0][0], item[0][1] or ""))
    ]
    return [*owned, (None, None, unowned)] if unowned else owned


def _rows(counts: Counter[tuple[str, str]]) -> list[tuple[str, ...]]:
    kinds = [kind for kind in given.KINDS if any(counts[kind, when] for when in WHENS)]
    rows = [(kind.replace("_", " "), *(f"{counts[kind, when]:,}" for when in WHENS)) for kind in reversed(kinds)]
    return [*rows, ("all", *(f"{sum(counts[kind, when] for kind in kinds):,}" for when in WHENS))]


def _tell(found: Json, counts: Counter[tuple[str, str]], users: Sequence[Json], limit: int) -> None:
    page = console()
    page.print(Text(headline(found, users), style="bold"))
    if found["assets"]:
        page.print()
        print_table(("hit", *WHENS.values()), _rows(counts), right=(1, 2, 3))
    owned = _by_owner(users)
    if owned:
        page.print(Text("\nWho must be told", style="bold"))
        most = max(limit // len(owned), 1) if limit else len(users)
        titles = ("owner", "of", "when", "calls a day", "last seen")
        print_table(titles, (row for each in owned for row in _owner_rows(*each, most)), right=(3,), keys=1)
    _tell_doubts(found)


def _owner_rows(
    name: str | None, contact: str | None, theirs: Sequence[Json], most: int
) -> Iterator[tuple[str | Text, ...]]:
    """Every owner is there, however many there are, with the most used of what is theirs."""
    owner = NOBODY if name is None else reached([{"name": name, "contact": contact}])
    ranked = sorted(theirs, key=lambda each: (each["when"] != "NOW", -each["usage"]["callsPerDay"]))
    for each in ranked[:most]:
        usage, style = each["usage"], STYLES[each["when"]]
        calls, seen = (f"{usage['callsPerDay']:,.1f}", ago(usage["lastSeen"])) if usage["calls"] else ("", "")
        yield owner, each["id"], Text(WHENS[each["when"]], style=style), calls, seen
        owner = ""
    if len(theirs) > most:
        yield "", f"and {len(theirs) - most:,} more", "", "", ""


def _tell_doubts(found: Json) -> None:
    page = console()
    page.print()
    unidentified = found["unidentified"]["calls"]
    if unidentified:
        page.print(f"{many(unidentified, 'call')} came from callers that could not be told: they may be hit, too.")
    if not found["complete"]:
        page.print("There is more beyond this depth.")
    page.print(
        f"Revision {found['revision']}. `headwater lineage` shows the ways, `headwater path` one of them with its evidence."
    )


def _markdown(found: Json, counts: Counter[tuple[str, str]], users: Sequence[Json]) -> str:
    lines = [f"**{markdown_escaped(headline(found, users))}**\n"]
    if found["assets"]:
        lines.append(markdown_table(("hit", *WHENS.values()), _rows(counts), right=(1, 2, 3)))
    rows = [
        (
            NOBODY if name is None else reached([{"name": name, "contact": contact}]),
            Code(each["id"]),
            WHENS[each["when"]],
            f"{each['usage']['callsPerDay']:,.1f}" if each["usage"]["calls"] else "",
        )
        for name, contact, theirs in _by_owner(users)
        for each in theirs
    ]
    if rows:
        lines.append(markdown_table(("owner", "of", "when", "calls a day"), rows, right=(3,)))
    return "\n".join(lines)
