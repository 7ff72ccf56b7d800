"""`headwater check`: what the work since a base does to others, in all forms of its report; and `headwater comment`, which posts it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
import yaml

from headwater import comments, manifests, project, repository
from headwater.commands.files import Manifests
from headwater.errors import DocumentUnreadable, HeadwaterError, Refused, Unreachable
from headwater.positions import located
from headwater.report import BLOCKED, NEEDS_ACKNOWLEDGEMENT, Report, Unmade
from headwater.reporting.junit import junit
from headwater.reporting.markdown import markdown
from headwater.reporting.quality import quality
from headwater.reporting.sarif import sarif
from headwater.reporting.text import text
from headwater.terminal import (
    ACKNOWLEDGE_CODE,
    BLOCKED_CODE,
    UNREACHABLE_CODE,
    USAGE_CODE,
    GraphFile,
    Output,
    Panel,
    Token,
    Url,
    connected,
    console,
    output_option,
    put,
    telling,
)

EXIT_CODES = (
    "Exit codes: 0 clean; 1 blocked: the policy forbids what it does to somebody; 2 wrong usage: the manifest, the policy, "
    "git, the token; 3 needs acknowledgement; 4 the service cannot be reached (with --fail-open: 0); 70 a fault of this "
    "program."
)

POLICY = "headwater.policy.yaml"
FORMS = (Output.TEXT, Output.JSON, Output.YAML, Output.MARKDOWN, Output.SARIF, Output.JUNIT, Output.QUALITY)


BaseDir = Annotated[Optional[Path], typer.Option(help="A folder with files as they were at the base that git does not keep, as target/manifest.json.", show_default=False)]  # fmt: skip  # noqa: UP045
BaseRef = Annotated[Optional[str], typer.Option(help="The git revision to compare with: where the work left it.", show_default="origin/main, else main")]  # fmt: skip  # noqa: UP045
PolicyFile = Annotated[Optional[Path], typer.Option("--policy", help="The policy, as it is in the working tree.", show_default=f"{POLICY} as at the base, and as here: the stricter counts")]  # fmt: skip  # noqa: UP045
Copy = Optional[Path]  # noqa: UP045
Number = Annotated[Optional[int], typer.Option(help="Of the pull or merge request.", show_default="that of the pipeline")]  # fmt: skip  # noqa: UP045


def add_to(app: typer.Typer) -> None:
    app.command(epilog=EXIT_CODES, rich_help_panel=Panel.CHANGE)(check)
    app.command(epilog=comments.EXIT_CODES, rich_help_panel=Panel.CHANGE)(comment)


def check(
    file: Manifests = None,
    base: BaseRef = None,
    base_dir: BaseDir = None,
    policy: PolicyFile = None,
    url: Url = None,
    token: Token = None,
    graph: GraphFile = None,
    output: Annotated[Output, output_option(*FORMS)] = Output.TEXT,
    markdown_file: Annotated[Copy, typer.Option("--markdown", help="Write Markdown there, too.")] = None,
    sarif_file: Annotated[Copy, typer.Option("--sarif", help="Write SARIF 2.1.0 there, too.")] = None,
    junit_file: Annotated[Copy, typer.Option("--junit", help="Write JUnit XML there, too.")] = None,
    quality_file: Annotated[
        Copy, typer.Option("--quality", help="Write GitLab's code quality report there, too.")
    ] = None,
    json_file: Annotated[
        Copy, typer.Option("--json", help="Write JSON there, too: `headwater comment` reads it.")
    ] = None,
    acknowledge: Annotated[
        bool,
        typer.Option(
            "--acknowledge", help="What changes for others is agreed with them, if the policy lets you say so."
        ),
    ] = False,
    fail_open: Annotated[
        bool, typer.Option("--fail-open/--fail-closed", help="Whether it passes when the service cannot be reached.")
    ] = False,
) -> None:
    """Say whom the change of the repository breaks, and when.

    Now, or at the next training. Changes nothing.
    """
    files = {
        Output.MARKDOWN: markdown_file,
        Output.SARIF: sarif_file,
        Output.JUNIT: junit_file,
        Output.QUALITY: quality_file,
        Output.JSON: json_file,
    }
    with telling(file[0] if file else None):
        report: Report | Unmade
        try:
            report = made = checked(file or (), base, policy, url, token, graph, acknowledge, base_dir)
            code = _code(made)
        except Unreachable as error:
            report, code = Unmade(str(error), fail_open), 0 if fail_open else UNREACHABLE_CODE
        except (HeadwaterError, OSError) as error:
            report, code = Unmade(str(error), passes=False, unreachable=False), USAGE_CODE
        for form, path in files.items():
            if path is not None:
                path.write_text(_written(report, form, code), encoding="utf-8")
        if isinstance(report, Unmade) and not report.unreachable:
            typer.echo(report.reason, err=True)
        elif output is not Output.TEXT:
            put(_written(report, output, code))
        elif isinstance(report, Report):
            console().print(text(report))
        if isinstance(report, Unmade) and report.unreachable:
            typer.echo(f"{report.title}: {report.reason}. {report.sentence}", err=True)
        elif (
            isinstance(report, Report)
            and acknowledge
            and report.outcome == NEEDS_ACKNOWLEDGEMENT
            and not report.acknowledged
        ):
            typer.echo(
                "--acknowledge does not count here: the policy wants the word of those who are affected.", err=True
            )
    raise typer.Exit(code)


def comment(
    report: Annotated[Path, typer.Argument(help="What `headwater check --json` wrote.")],
    number: Number = None,
    name: Annotated[str, typer.Option(help="Tells the comments of several checks of one request apart.")] = "check",
    elsewhere: Annotated[str, typer.Option(help="Where all of it is, when it has to be cut.")] = "the job's summary",
) -> None:
    """Post the report of a check as the one comment of a pull or merge request that it updates.

    The forge is told by the environment of GitHub Actions or GitLab CI.
    """
    with telling():
        made = read_report(report)
        forge = comments.forge(number)
        body = markdown(made, forge.letters - len(comments.marker(name)) - 1, elsewhere)
        is_clean = isinstance(made, Report) and made.outcome == "CLEAN"
        done = comments.post(forge, name, body, create=not is_clean)
    typer.echo(done)


# What is compared


def checked(
    files: Sequence[Path] = (),
    base: str | None = None,
    policy: Path | None = None,
    url: str | None = None,
    token: str | None = None,
    graph: Path | None = None,
    acknowledge: bool = False,
    base_dir: Path | None = None,
) -> Report:
    """Raises HeadwaterError; Unreachable where there is no answer."""
    folder = files[0].parent if files else Path()
    start = repository.find_base(folder, base)
    change = project.compared(folder, start, files, base_dir)
    named = policies(folder, start, policy)
    demanded = [each for _, each in named]
    labels = {f"policy: [{place}].": f"{name}: " for place, (name, _) in enumerate(named)}
    texts = {
        f"{side}: {path}": text
        for side, version in (("base", change.base), ("head", change.head))
        for path, text in version.texts.items()
    }
    try:
        if graph is not None:
            answer, told = _offline(graph, change, demanded), str(graph)
        else:
            with connected(url, token) as client:
                answer, told = client.check(change.base.documents, change.head.documents, demanded), client.url
    except Refused as error:
        told = located(str(error), texts, {f"base: {path}": f"{path} at {start}" for path in change.base.texts})
        lines = (_placed(line, labels).removeprefix("head: ") for line in told.splitlines())
        raise Refused("\n".join(lines), error.code) from error
    acknowledged = acknowledge and answer["outcome"] == NEEDS_ACKNOWLEDGEMENT and answer.get("flagCounts", True)
    what = str(files[0]) if len(files) == 1 else change.told
    return Report(answer, what, start.ref, start.commit, told, bool(acknowledged), change.head.texts)


def policies(folder: Path, start: repository.Base, given: Path | None) -> list[tuple[str, Any]]:
    """Those that hold beside the service's own, parsed, with their names. A change cannot weaken what it is judged by: the base's counts, too."""
    if given is not None:
        return [(str(given), manifests.parsed(given.read_bytes(), str(given)))]
    top = repository.top_of(folder)
    assert top is not None  # it has a base
    with repository.Blobs(top) as blobs:
        commit = repository.Committed(top, start, blobs)
        before = commit.read(POLICY) if commit.has(POLICY) else None
    after = (top / POLICY).read_bytes() if (top / POLICY).is_file() else None
    if before is None and after is None:
        return []
    sides = ((before, f"{POLICY} at {start}"), (after, POLICY))
    # Without a policy, the default one holds: that of no rules.
    found = [(name, {"version": 1} if text is None else manifests.parsed(text, name)) for text, name in sides]
    return found[:1] if before == after else found


def _offline(graph: Path, change: project.Compared, policy: list[Any]) -> dict[str, Any]:
    from headwater.offline import Graph  # noqa: PLC0415 (an extra)

    return Graph(graph).check(change.base.documents, change.head.documents, policy)


def _placed(line: str, places: Mapping[str, str]) -> str:
    for mark, place in places.items():
        if line.startswith(mark):
            return place + line.removeprefix(mark)
    return line


# What is told


def read_report(path: Path) -> Report | Unmade:
    """Of the JSON that a check wrote. Raises DocumentUnreadable."""
    try:
        told = json.loads(path.read_bytes())
        if told["outcome"] is None:
            reason = str(told["headline"]).removeprefix("The check could not be made: ")
            return Unmade(reason, bool(told["failsOpen"]), bool(told["unreachable"]))
        base = told["base"]
        return Report(told, told["file"], base["ref"], base["commit"], told["service"], bool(told["acknowledged"]))
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise DocumentUnreadable(f"{path} is not what `headwater check --json` writes: {error!r}") from error


def _code(report: Report) -> int:
    if report.outcome == BLOCKED:
        return BLOCKED_CODE
    return ACKNOWLEDGE_CODE if report.outcome == NEEDS_ACKNOWLEDGEMENT and not report.acknowledged else 0


def _written(report: Report | Unmade, form: Output, code: int) -> str:
    if form is Output.MARKDOWN:
        return markdown(report)
    if form is Output.JUNIT:
        return junit(report)
    if form is Output.YAML:
        return yaml.safe_dump(report.json(code), sort_keys=False, allow_unicode=True)
    document = (
        sarif(report) if form is Output.SARIF else quality(report) if form is Output.QUALITY else report.json(code)
    )
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
