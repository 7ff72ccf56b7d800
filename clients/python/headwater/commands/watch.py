"""`headwater watch`: what changes in the graph, and alerts, as they happen."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from enum import Enum
from typing import Annotated, Any, Optional

import typer
from rich.text import Text

from headwater import asked, credentials
from headwater.client import Client
from headwater.credentials import Credentials
from headwater.errors import Unreachable
from headwater.forms import SIGNS, Json, many
from headwater.subscriptions import subscribed
from headwater.terminal import Output, Panel, TextOrJson, Token, Url, connected, console, put, telling
from headwater.texts import plain

EXIT_CODES = (
    "Exit codes: 130 stopped by Ctrl-C; 2 wrong usage, or refused; 4 the service cannot be reached at the "
    "start (later it is tried again for as long as it takes); 70 a fault of this program."
)

SHOWN = 10
"""Changes of one revision; the first import of a warehouse has a hundred thousand."""
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.25, 10.0

_STATES = {"OPEN": "bold red", "ACKNOWLEDGED": "yellow", "RESOLVED": "green"}


class Which(str, Enum):
    ALL = "all"
    CHANGES = "changes"
    ALERTS = "alerts"


Only = Annotated[Which, typer.Option("--only", help="What to tell.")]
Since = Annotated[Optional[int], typer.Option("--since", min=0, help="Begin after this revision; 0: with the first.", show_default="now")]  # fmt: skip  # noqa: UP045


def add_to(app: typer.Typer) -> None:
    app.command(epilog=EXIT_CODES, rich_help_panel=Panel.ASK)(watch)


def watch(
    only: Only = Which.ALL,
    since: Since = None,
    url: Url = None,
    token: Token = None,
    output: TextOrJson = Output.TEXT,
) -> None:
    """Tell changes and alerts as they happen, until Ctrl-C.

    Every revision in order and without a gap, also across restarts of the service: it is told when it was lost and when it
    is back. As JSON, one object a line: its `event` is revision, alert, lost, regained or reset.
    """
    tell = _tell_line if output is Output.JSON else _tell
    with telling(), connected(url, token) as client:
        chosen = credentials.find(url, token)
        start = asked.head(client) if since is None else since
        if output is Output.TEXT:
            typer.echo(f"Watching {chosen.url} after revision {start}; Ctrl-C ends it.", err=True)
        for event in events(client, chosen, start):
            if event["event"] == "revision":
                changes, alerts = _parted(event)
                if only is not Which.ALERTS and (changes or only is Which.CHANGES):
                    tell({**event, "changes": changes if only is Which.ALL else event["changes"]})
                for key in alerts if only is not Which.CHANGES else ():
                    if found := asked.alert(client, key):
                        tell({"event": "alert", "revision": event["number"], "at": event["at"], **found})
            else:
                tell(event)


def events(client: Client, chosen: Credentials, since: int) -> Iterator[Json]:
    """Every revision after `since`, as {event: revision, number, at, actor, changes}; {event: lost, at, reason} and
    {event: regained, at, revision} around what is missed; {event: reset, …} where the service has fewer revisions than before.

    Never ends. Raises Unreachable before it was reached once, and Refused.
    """
    reached = False
    lost: float | None = None
    waits = _waits()
    while True:
        try:
            if lost is not None and (head := asked.head(client)) < since:
                yield {"event": "reset", "at": _now(), "revision": head, "before": since}
                since = head
            for data in subscribed(chosen, asked.CHANGES, {"since": since}):
                if data is not None:
                    since = data["changes"]["number"]
                    yield {"event": "revision", **data["changes"]}
                elif lost is not None:
                    seconds = round(time.monotonic() - lost, 1)
                    yield {"event": "regained", "at": _now(), "seconds": seconds, "revision": since}
                    lost, waits = None, _waits()
                reached = True
            reason = f"{chosen.url} ended the stream"
        except Unreachable as error:
            if not reached:
                raise
            reason = str(error)
        if lost is None:
            lost = time.monotonic()
            yield {"event": "lost", "at": _now(), "reason": reason, "revision": since}
        time.sleep(next(waits))


def _waits() -> Iterator[float]:
    wait = FIRST_WAIT_SECONDS
    while True:
        yield wait
        wait = min(wait * 2, LONGEST_WAIT_SECONDS)


def _parted(revision: Json) -> tuple[list[Json], list[str]]:
    """Its changes but those of alerts, and the keys of the alerts."""
    alerts: dict[str, None] = {}
    others = []
    for change in revision["changes"]:
        keys = {each["asset"] for each in change["opened"] if each["asset"]}
        named = [key for key in keys if key.startswith("alert:")]
        alerts |= dict.fromkeys(named)
        if not named and "alert:" not in change["subject"]:
            others.append(change)
    return others, [*alerts]


def _tell_line(event: Json) -> None:
    told = {"version": 1, **event}
    if "changes" in told:
        told["changes"] = [{name: change[name] for name in ("verb", "subject", "origin")} for change in told["changes"]]
    put(json.dumps(told, ensure_ascii=False) + "\n")


def _tell(event: dict[str, Any]) -> None:
    page = console()
    at = _clock(event["at"])
    if event["event"] == "revision":
        changes = event["changes"]
        page.print(
            Text.assemble(
                (at, "dim"), f"  revision {event['number']} by {plain(event['actor'])}: {many(len(changes), 'change')}"
            )
        )
        for change in changes[:SHOWN]:
            sign, style = SIGNS[change["verb"]]
            page.print(Text(f"  {sign} {change['subject']}", style=style), soft_wrap=True)
        if len(changes) > SHOWN:
            page.print(f"  and {len(changes) - SHOWN:,} more")
    elif event["event"] == "alert":
        what = event["column"] or event["about"]
        page.print(
            Text.assemble(
                (at, "dim"),
                "  alert ",
                (event["state"].lower(), _STATES[event["state"]]),
                f": {what['id']} drifts ({event['id']})",
            ),
            soft_wrap=True,
        )
        for cause in event["causes"][:3]:
            page.print(f"  likely cause: {cause['asset']['id']}: {plain(cause['explanation'])}", soft_wrap=True)
    else:
        told = {
            "lost": "lost the service: {reason}; trying again",
            "regained": "the service is back after {seconds} s; going on after revision {revision}",
            "reset": "the service has {revision} revisions, and had {before}: another graph is there; going on with it",
        }[event["event"]]
        console(error=True).print(Text(f"{at}  {told.format(**event)}", style="yellow"), soft_wrap=True)


def _clock(text: str) -> str:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone().strftime("%H:%M:%S")


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
