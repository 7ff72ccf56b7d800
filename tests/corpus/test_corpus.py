"""Each labelled change: asked of the check, and where it can be, executed.

`-s` prints the table of right and wrong; see README.md for the measures.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import pytest
import yaml

from graph.check.judge import judge
from graph.check.verdicts import Verdict
from graph.errors import InvalidManifest
from graph.impact import When
from graph.importers.project import Document, DocumentFormat, read_project
from graph.keys import AssetKey
from tests.corpus.execution import executed
from tests.corpus.loading import Base, Case, Files, Record, Result, bases, cases, manifests
from tests.corpus.outcomes import Outcome
from tests.graph.world import World

MOST_FALSE_ALARMS = 0.05
MOST_UNKNOWN = 0.10

WORST_FIRST = (Verdict.BREAKING, Verdict.UNKNOWN, Verdict.BEHAVIOURAL, Verdict.ADDITIVE, Verdict.NONE)
QUIET = (Verdict.ADDITIVE, Verdict.NONE)


# What is asked


def documents(files: Files) -> list[Document]:
    """As a client sends a repository: manifests parsed, what their `sources` name in its format, all else as text."""
    found = [Document(path, DocumentFormat.MANIFEST, manifest) for path, manifest in manifests(files).items()]
    taken = {each.path for each in found}
    for path, manifest in manifests(files).items():
        for number, source in enumerate(manifest.get("sources") or []):
            patterns = [source["files"]] if isinstance(source["files"], str) else source["files"]
            folder = PurePosixPath(path).parent
            named = [each for each in sorted(files) if any(_named(each, folder / pattern) for pattern in patterns)]
            options = {name: value for name, value in source.items() if name not in ("format", "files", "columns")}
            speaks = {name: manifest[name] for name in ("namespace", "origin") if name in manifest}
            options |= {"at": f"sources[{number}]", "files": named, "manifest": speaks}
            kind = DocumentFormat[source["format"].upper()]
            found.append(Document(path, kind, _content(kind, files, named, folder, source), options))
            taken |= set(named)
    return [*found, *(Document(path, DocumentFormat["FILE"], files[path]) for path in sorted(set(files) - taken))]


def _named(path: str, pattern: PurePosixPath) -> bool:
    return fnmatch(path, str(pattern).replace("**/", "*")) or PurePosixPath(path).is_relative_to(pattern)


def _content(kind: DocumentFormat, files: Files, named: list[str], folder: PurePosixPath, source: Record) -> Any:
    texts = [{"path": path, "text": files[path]} for path in named if not path.endswith(".yaml")]
    if kind == "DBT":
        return {"manifest": json.loads(files[named[0]])}
    if kind == "FEAST":
        store = str(folder / source["files"] / "feature_store.yaml")
        return {"files": texts, "folder": str(folder / source["files"]), "store": yaml.safe_load(files[store])}
    tables = {"tables": json.loads(files[str(folder / source["columns"])])} if "columns" in source else {}
    return {"files": texts, **tables}


class Asked:
    """One graph a base, in which the base was applied and what others told is known."""

    def __init__(self, base: Base, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.base = base
        self.world = World(folder)
        self.project = read_project(documents(base.files))
        for registration in (*self.project.registrations, *base.observed):
            self.world.commit(replace(registration, stubs=True))  # they name each other, in no order

    def results(self, head: Files) -> Mapping[AssetKey, frozenset[Result]]:
        after = read_project(documents(head))
        view, moment = self.world.index.view(), self.world.moment()
        return judge(view, moment, self.project, after, self.world.store.believed).results()


class Answers:
    """Of all cases, asked once."""

    def __init__(self, folder: Path) -> None:
        self.got: dict[str, Mapping[AssetKey, frozenset[Result]]] = {}
        self.unread: dict[str, str] = {}
        asked: dict[str, Asked] = {}
        for base in bases().values():
            try:
                asked[base.name] = Asked(base, folder / base.name)
            except (InvalidManifest, KeyError) as error:
                self.unread[base.name] = f"{type(error).__name__}: {error}"
        for case in cases():
            if case.base.name not in asked:
                continue
            try:
                self.got[case.id] = asked[case.base.name].results(case.head)
            except InvalidManifest as error:
                self.unread[case.id] = f"{type(error).__name__}: {error}"
        for each in asked.values():
            each.world.close()


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    return Answers(tmp_path_factory.mktemp("corpus"))


# What is measured


class Judged(NamedTuple):
    """A pair: one asset in one case."""

    case: Case
    asset: AssetKey
    expected: Mapping[When, Verdict]
    got: Mapping[When, Verdict]

    @property
    def is_missed(self) -> bool:
        """Something breaks and the check says less, or later."""
        return any(
            verdict is Verdict.BREAKING and self.got.get(when) is not Verdict.BREAKING
            for when, verdict in self.expected.items()
        )

    @property
    def is_false_alarm(self) -> bool:
        """The check says that something breaks, or that answers change, and they do not; or not yet."""
        return any(
            _rank(verdict) < _rank(self.expected.get(when, Verdict.NONE))
            and verdict in (Verdict.BREAKING, Verdict.BEHAVIOURAL)
            for when, verdict in self.got.items()
        )

    @property
    def is_unknown(self) -> bool:
        return Verdict.UNKNOWN in self.got.values()

    @property
    def is_alarm(self) -> bool:
        return any(verdict not in QUIET for verdict in self.got.values())

    @property
    def is_right(self) -> bool:
        """Quiet is quiet: whether somebody gains something unused or nothing is no error."""
        return all(self._heard(self.expected, when) is self._heard(self.got, when) for when in When)

    @staticmethod
    def _heard(results: Mapping[When, Verdict], when: When) -> Verdict:
        verdict = results.get(when, Verdict.NONE)
        return Verdict.NONE if verdict in QUIET else verdict


def _rank(verdict: Verdict) -> int:
    return WORST_FIRST.index(verdict)


def worst_by_time(results: frozenset[Result]) -> Mapping[When, Verdict]:
    """Of several results for one time the worst is what happens then. What only history feels is no result."""
    worst_last = sorted(results, key=lambda each: -_rank(each[0]))
    return {when: verdict for verdict, when in worst_last if when is not When.HISTORIC}


def headline(results: Mapping[When, Verdict]) -> str:
    return min(results.values(), key=_rank, default=Verdict.NONE).name


def pairs(answers: Answers) -> list[Judged]:
    return [
        Judged(case, asset, worst_by_time(case.label(asset)), worst_by_time(got.get(asset, frozenset())))
        for case in cases()
        if (got := answers.got.get(case.id)) is not None
        for asset in case.judged
    ]


class Measures(NamedTuple):
    missed: list[Judged]
    false_alarms: list[Judged]
    alarms: int
    quiet: int
    """Pairs that should be quiet."""
    unknown: list[Judged]
    unknown_cases: int
    cases: int

    @property
    def false_alarm_rate(self) -> float:
        """Of the alarms raised, not of all that is quiet: that would be small however often one cries wolf."""
        return len(self.false_alarms) / max(1, self.alarms)

    @property
    def unknown_rate(self) -> float:
        return max(len(self.unknown) / max(1, self.alarms), self.unknown_cases / max(1, self.cases))


def measured(judged: list[Judged], asked: int) -> Measures:
    unknown = [each for each in judged if each.is_unknown]
    return Measures(
        missed=[each for each in judged if each.is_missed],
        false_alarms=[each for each in judged if each.is_false_alarm],
        alarms=sum(each.is_alarm for each in judged),
        quiet=sum(all(verdict in QUIET for verdict in each.expected.values()) for each in judged),
        unknown=unknown,
        unknown_cases=len({each.case.id for each in unknown}),
        cases=asked,
    )


def report(answers: Answers) -> str:
    judged = pairs(answers)
    found = measured(judged, len(answers.got))
    run = [case for case in cases() if case.executed]
    lines = [
        f"{len(cases())} cases, {len(run)} of them executed; asked {len(answers.got)}, {len(judged)} pairs judged",
        f"breaking missed: {len(found.missed)}",
        f"false alarms: {len(found.false_alarms)} of {found.alarms} alarms ({found.false_alarm_rate:.1%}); "
        f"{found.quiet} pairs should be quiet ({len(found.false_alarms) / max(1, found.quiet):.2%})",
        f"unknown: {len(found.unknown)} of {found.alarms} alarms, {found.unknown_cases} of {found.cases} cases",
        "",
        f"{'expected, got:':15}" + "".join(f"{verdict.name:>13}" for verdict in WORST_FIRST),
    ]
    table = Counter((headline(each.expected), headline(each.got)) for each in judged)
    for expected in WORST_FIRST:
        row = "".join(f"{table[expected.name, got.name]:>13}" for got in WORST_FIRST)
        lines.append(f"{expected.name:15}{row}")
    lines += ["", *_wrong(judged), *(f"NOT ASKED {case}: {reason[:300]}" for case, reason in answers.unread.items())]
    return "\n".join(lines)


def _wrong(judged: list[Judged]) -> Iterator[str]:
    for each in judged:
        if not each.is_right:
            mark = "MISSED " if each.is_missed else "ALARM  " if each.is_false_alarm else "WRONG  "
            yield f"{mark}{each.case.id}: {each.asset}: expected {_shown(each.expected)}, got {_shown(each.got)}"


def _shown(results: Mapping[When, Verdict]) -> str:
    return ", ".join(f"{verdict.name} {when.name}" for when, verdict in sorted(results.items())) or "NONE"


# What must hold


def test_the_check_judges_the_corpus(answers: Answers, capsys: pytest.CaptureFixture[str]) -> None:
    said = report(answers)
    with capsys.disabled():
        print("\n" + said)
    found = measured(pairs(answers), len(answers.got))
    assert not answers.unread, said
    assert not found.missed, said
    assert found.false_alarm_rate <= MOST_FALSE_ALARMS, said
    assert found.unknown_rate < MOST_UNKNOWN, said


def test_the_corpus_is_large_and_much_of_it_is_executed() -> None:
    assert len(cases()) >= 250
    assert sum(bool(case.executed) for case in cases()) >= 120
    assert {case.base.name for case in cases()} == set(bases())


HAPPENS = {
    Verdict.BREAKING: (Outcome.FAILS,),
    Verdict.BEHAVIOURAL: (Outcome.OTHER, Outcome.RUNS),
    Verdict.ADDITIVE: (Outcome.SAME, Outcome.RUNS),
    Verdict.NONE: (Outcome.SAME, Outcome.RUNS),
}


@pytest.mark.parametrize("case", [case for case in cases() if case.executed], ids=lambda case: case.id)
def test_what_the_label_says_is_what_happens(case: Case) -> None:
    """`except` names those of whom the execution tells nothing; why, the case says."""
    excepted = {AssetKey.parse(key) for key in case.executed.get("except", [])}
    for kind, seen in executed(case).items():
        labelled = {
            (asset, when): worst_by_time(case.label(asset)).get(when, Verdict.NONE)
            for asset, when in seen
            if asset not in excepted
        }
        assert labelled, f"{case.id} by {kind}: nobody was watched"
        wrong = [
            f"{asset} {when.name}: labelled {verdict.name}, but it {seen[asset, when].value}"
            for (asset, when), verdict in labelled.items()
            if verdict is not Verdict.UNKNOWN and seen[asset, when] not in HAPPENS[verdict]
        ]
        assert not wrong, f"{case.id} by {kind}:\n" + "\n".join(wrong)
