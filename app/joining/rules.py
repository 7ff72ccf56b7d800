"""Rules that say which consumers are the same: each an origin of its own, so that what it joined is parted when it goes.

[[rule]]
name = "checkout"                          # of the rule: it speaks as `rules:checkout`
match = { namespace = "*", name = "checkout-*" }
same_as = "consumer:default/checkout"
"""

import asyncio
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NoReturn

import structlog

from app.events import JOINS, RULES
from app.service import Headwater
from graph.attributes import named_same
from graph.changes import AssetStatement, Registration, Withdrawal, checked_origin
from graph.errors import GraphError, InvalidInput, NotReady, StoreUnavailable, quoted
from graph.keys import AssetKey, AssetKind
from graph.model import Assertion, Basis, Flow
from graph.remarks import is_remark
from graph.stores.contract import Revision, Store
from graph.topology import KIND_CODE, Moment, View
from graph.walk import has_flow

ACTOR = "rules"
_PAUSE = 1.0

log = structlog.get_logger(__name__)


class RulesUnreadable(Exception):
    """The file of rules is missing or malformed; `str(error)` says where."""


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    namespace: str
    consumer: str
    """Patterns of a consumer's namespace and name: `*` any characters, `?` one, `[…]` one of these."""
    same_as: AssetKey

    @property
    def origin(self) -> str:
        return RULES + self.name

    def matches(self, key: AssetKey) -> bool:
        return (
            key.kind is AssetKind.CONSUMER
            and key != self.same_as
            and fnmatchcase(key.namespace, self.namespace)
            and fnmatchcase(key.name, self.consumer)
        )


def read_rules(path: Path) -> tuple[Rule, ...]:
    """Raises RulesUnreadable."""
    try:
        document = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise RulesUnreadable(f"the rules {path} cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise RulesUnreadable(f"the rules {path} are no TOML: {error}") from error
    stated = document.pop("rule", [])
    if document or not isinstance(stated, list):
        raise RulesUnreadable(f"the rules {path} hold {', '.join(document) or 'rule'}; they are a list of [[rule]]")
    rules = tuple(_rule(f"{path}: rule[{number}]", said) for number, said in enumerate(stated))
    names = [rule.name for rule in rules]
    for name in names:
        if names.count(name) > 1:
            raise RulesUnreadable(f"{path}: two rules have the name {quoted(name)}")
    return rules


def _rule(place: str, said: object) -> Rule:
    def refuse(why: str) -> NoReturn:
        raise RulesUnreadable(f"{place}: {why}")

    def text(of: Mapping[str, object], name: str) -> str:
        value = of.get(name)
        if not isinstance(value, str) or not value:
            refuse(f"{name} must be a text that is not empty")
        return value

    if not isinstance(said, dict) or said.keys() - {"name", "match", "same_as"}:
        refuse("a rule is {name, match, same_as}")
    match = said.get("match")
    if not isinstance(match, dict) or not match or match.keys() - {"namespace", "name"}:
        refuse("match must be {namespace, name}, or one of them, each a pattern like checkout-*")
    try:
        same_as = AssetKey.parse(text(said, "same_as"))
        checked_origin(RULES + text(said, "name"))
    except InvalidInput as error:
        refuse(str(error))
    if same_as.kind is not AssetKind.CONSUMER:
        refuse(f"{same_as} is no consumer")
    patterns = {"namespace": "*", "name": "*", **{name: text(match, name) for name in match}}
    return Rule(text(said, "name"), patterns["namespace"], patterns["name"], same_as)


class Joining:
    """Applies the rules to every consumer as it becomes known, whoever tells of it."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules

    async def run(self, headwater: Headwater) -> None:
        while True:
            try:
                await self._follow(headwater)
            except (StoreUnavailable, NotReady) as error:
                log.warning("rules wait for the store", reason=str(error))
                await asyncio.sleep(_PAUSE)
            else:
                return

    async def _follow(self, headwater: Headwater) -> None:
        view = headwater.index.view()
        await self._apply(headwater, await headwater.in_thread(self._concerned, view))
        if not self._rules:
            return  # those that there were are taken back
        async for revision in headwater.revisions(view.revision):
            await self._apply(headwater, {key for key in _told_of(revision) if self._matching(key)})

    async def _apply(self, headwater: Headwater, keys: Collection[AssetKey]) -> None:
        if not keys:
            return
        if headwater.index.revision < await headwater.in_thread(headwater.store.head):
            await headwater.follow()
        view = headwater.index.view()
        now = Moment(headwater.clock(), view.revision)
        for wanted in await headwater.in_thread(self._judged, headwater.store, view, now, keys):
            try:
                receipt = await headwater.register(wanted, None, ACTOR)
            except (StoreUnavailable, NotReady):
                raise
            except GraphError as error:  # one that is refused must not stop the others
                log.error("a rule could not be applied", origin=wanted.origin, reason=str(error))
            else:
                log.info("a rule was applied", origin=wanted.origin, revision=receipt.revision)

    def _matching(self, key: AssetKey) -> list[Rule]:
        return [rule for rule in self._rules if rule.matches(key)]

    def _concerned(self, view: View) -> set[AssetKey]:
        """Consumers that a rule matches, or of which anybody ever said that they are the same as others."""
        is_consumer = view.kind[: view.assets] == KIND_CODE[AssetKind.CONSUMER]
        found = {key for number in is_consumer.nonzero()[0].tolist() if self._matching(key := view.key(number))}
        namers = view.vertex_asset[view.rows["source"][view.joins.rows]]
        return found | {view.key(number) for number in namers[is_consumer[namers]].tolist()}

    def _judged(self, store: Store, view: View, now: Moment, keys: Collection[AssetKey]) -> Iterator[Registration]:
        believed = store.believed(keys)
        stated: dict[str, list[AssetStatement]] = {}
        withdrawn: dict[str, list[Withdrawal]] = {}
        for key in sorted(keys):
            held = [each for each in believed.get(key, ()) if each.valid.holds_at(now.at)]
            wanted = {rule.origin: rule for rule in self._matching(key)} if _is_known(view, key, now, held) else {}
            said = {each.origin: each for each in held if each.origin.startswith(RULES)}
            for origin, rule in wanted.items():
                if origin not in said or named_same(said[origin].attributes) != (rule.same_as,):
                    stated.setdefault(origin, []).append(AssetStatement(key, {"same_as": [str(rule.same_as)]}))
            for origin in said.keys() - wanted.keys():
                withdrawn.setdefault(origin, []).append(Withdrawal(key))
        return iter(
            [
                Registration(
                    origin,
                    Basis.DECLARED,
                    tuple(stated.get(origin, ())),
                    withdrawals=tuple(withdrawn.get(origin, ())),
                )
                for origin in sorted({*stated, *withdrawn})
            ]
        )


def _is_known(view: View, key: AssetKey, now: Moment, held: Sequence[Assertion]) -> bool:
    """Whether somebody besides those who only join tells of it."""
    if any(each.origin != JOINS and not each.origin.startswith(RULES) and not is_remark(each.origin) for each in held):
        return True
    number = view.numbers.get(str(key), view.assets)
    return number < view.assets and has_flow(view, number, now)


def _told_of(revision: Revision) -> Iterator[AssetKey]:
    for stored in (*revision.opened, *revision.closed):
        said = stored.assertion
        if said.origin.startswith(RULES):
            continue
        for key in said.subject[:2] if isinstance(said.subject, Flow) else (said.subject,):
            if key.kind is AssetKind.CONSUMER:
                yield key
