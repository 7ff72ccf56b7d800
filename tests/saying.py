"""Short ways to say things to a store."""

from typing import TypeAlias

from graph.changes import AssetStatement, FlowStatement, Receipt, Registration, Withdrawal
from graph.keys import AssetKey
from graph.messages import Message
from graph.model import Basis, Flow, Operation, Subject
from graph.plan import register
from graph.stores.contract import Store
from graph.time import Instant

Statement: TypeAlias = AssetKey | Flow | AssetStatement | FlowStatement | Withdrawal


def key(text: str) -> AssetKey:
    return AssetKey.parse(text)


def flow(source: str, target: str, via: str | None = None) -> Flow:
    return Flow(key(source), key(target), key(via) if via else None)


def asset(
    text: str, *, since: Instant | None = None, until: Instant | None = None, **attributes: object
) -> AssetStatement:
    return AssetStatement(key(text), attributes, since, until)  # type: ignore[arg-type]  # JSON, in tests


def operation(name: str | None = None, digest: str = "digest") -> Operation:
    return Operation(name, digest, "tests")


def registration(
    *statements: Statement,
    origin: str = "api:alice",
    basis: Basis = Basis.DECLARED,
    complete: bool = False,
    stubs: bool = True,
    messages: tuple[Message, ...] = (),
) -> Registration:
    return Registration(
        origin,
        basis,
        tuple(
            AssetStatement(each) if isinstance(each, AssetKey) else each
            for each in statements
            if isinstance(each, AssetKey | AssetStatement)
        ),
        tuple(
            FlowStatement(each) if isinstance(each, Flow) else each
            for each in statements
            if isinstance(each, Flow | FlowStatement)
        ),
        tuple(each for each in statements if isinstance(each, Withdrawal)),
        complete,
        stubs,
        messages,
    )


def say(
    store: Store,
    *statements: Statement,
    now: Instant,
    origin: str = "api:alice",
    basis: Basis = Basis.DECLARED,
    complete: bool = False,
    stubs: bool = True,
    by: Operation | None = None,
    messages: tuple[Message, ...] = (),
) -> Receipt:
    wanted = registration(*statements, origin=origin, basis=basis, complete=complete, stubs=stubs, messages=messages)
    return register(store, wanted, by or operation(), now)


def holding(store: Store, subject: Subject, now: Instant) -> list[str]:
    """The origins that say so now."""
    return [said.origin for said in store.believed([subject]).get(subject, ()) if said.valid.holds_at(now)]
