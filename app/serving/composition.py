"""Deployments made of deployments: rows pass from step to step, and a switch chooses for each row who is next."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from app.serving.models import Datatype, Signature, Tensor, names_of
from app.serving.protocol import fits
from graph.errors import Conflict, InvalidInput, quoted
from graph.keys import AssetKey
from graph.model import Json


@dataclass(frozen=True, slots=True)
class Branch:
    """A deployment, and which rows it gets: those where the `output` of an earlier step equals `equals`."""

    deployment: AssetKey
    output: str | None = None
    """None: all rows that no branch before takes."""
    equals: bool | int | float | str | None = None


Step = tuple[Branch, ...]
"""One branch that takes all rows, or a switch: the first branch that fits takes a row."""

Steps = tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps that were found to fit."""

    steps: Steps
    signature: Signature
    """Inputs: what a request must carry, i.e. what no earlier step gives to those that take it."""
    feeds: Mapping[AssetKey, tuple[AssetKey, ...]]
    """Whom each step's deployment hands its outputs, as values or to choose by; the composition itself at the end."""

    def hops(self) -> Iterator[tuple[AssetKey, AssetKey]]:
        for source, targets in self.feeds.items():
            for target in targets:
                yield source, target


def members(steps: Steps) -> list[AssetKey]:
    """The deployments that take part, each once, in order."""
    return list(dict.fromkeys(branch.deployment for step in steps for branch in step))


def planned(composition: AssetKey, steps: Steps, signature_of: Callable[[AssetKey], Signature]) -> Plan:
    """Raises InvalidInput and Conflict for steps that do not fit, and what `signature_of` raises."""
    wanted: dict[str, tuple[Tensor, AssetKey]] = {}
    given: dict[str, tuple[Tensor, Step]] = {}
    feeds: dict[AssetKey, dict[AssetKey, None]] = {}
    for step in steps:
        _refuse_misplaced(composition, step, feeds)
        for branch in step:
            deployment = branch.deployment
            for tensor in signature_of(deployment).inputs:
                if tensor.name in given:
                    output, source = given[tensor.name]
                    _refuse_misfit(output, source, tensor, deployment)
                    _note(feeds, source, deployment)
                else:
                    known, taker = wanted.setdefault(tensor.name, (tensor, deployment))
                    if (known.datatype, known.dims) != (tensor.datatype, tensor.dims):
                        raise Conflict(f"{taker} takes {known}, and {deployment} takes {tensor}: rows cannot be both")
            if branch.output is not None:
                if branch.output not in given:
                    raise InvalidInput(
                        f"a branch of {composition} asks for {quoted(branch.output)}, which no earlier step gives; given"
                        f" are {names_of(tensor for tensor, _ in given.values())}",
                        branch.output,
                    )
                output, source = given[branch.output]
                _refuse_incomparable(branch, output)
                for each in step:  # the choice is made of it for all of them
                    _note(feeds, source, each.deployment)
        outputs = _outputs_of(step, signature_of)
        given |= {tensor.name: (tensor, step) for tensor in outputs}
        for branch in step:
            feeds.setdefault(branch.deployment, {})
    _note(feeds, steps[-1], composition)
    idle = [str(source) for source, targets in feeds.items() if not targets]
    if idle:
        raise Conflict(f"no later step of {composition} uses what {', '.join(idle)} gives")
    signature = Signature(tuple(tensor for tensor, _ in wanted.values()), _outputs_of(steps[-1], signature_of))
    return Plan(steps, signature, {source: tuple(targets) for source, targets in feeds.items()})


def _refuse_misplaced(composition: AssetKey, step: Step, before: Mapping[AssetKey, object]) -> None:
    for branch in step:
        if branch.deployment == composition:
            raise Conflict(f"{composition} cannot be a step of itself")
        if branch.deployment in before:
            raise Conflict(
                f"{branch.deployment} stands in two steps of {composition}, so its output would reach itself"
            )
    if any(branch.output is None for branch in step[:-1]):
        raise InvalidInput(
            f"only the last branch of a switch of {composition} may leave out `output`: it takes the rest"
        )


def _refuse_misfit(output: Tensor, source: Step, tensor: Tensor, taker: AssetKey) -> None:
    assert output.datatype is not None
    assert tensor.datatype is not None
    if output.dims != tensor.dims or not fits(output.datatype, tensor.datatype):
        raise Conflict(f"{source[0].deployment} gives {output}, and {taker} takes {tensor}")


def _refuse_incomparable(branch: Branch, output: Tensor) -> None:
    if output.dims:
        raise InvalidInput(f"a switch compares one value a row, and {output} has more", branch.output)
    value = branch.equals
    match output.datatype:
        case Datatype.BYTES:
            comparable = isinstance(value, str)
        case Datatype.BOOL:
            comparable = isinstance(value, bool)
        case _:
            comparable = isinstance(value, int | float) and not isinstance(value, bool)
    if not comparable:
        raise InvalidInput(f"{value!r} never equals {output}", value)


def _outputs_of(step: Step, signature_of: Callable[[AssetKey], Signature]) -> tuple[Tensor, ...]:
    first, *others = [(branch.deployment, signature_of(branch.deployment).outputs) for branch in step]
    for deployment, outputs in others:
        if sorted(map(_form, outputs)) != sorted(map(_form, first[1])):
            raise Conflict(
                f"the branches of a switch give the same outputs; {first[0]} gives {names_of(first[1])}, and"
                f" {deployment} gives {names_of(outputs)}"
            )
    return first[1]


def _form(tensor: Tensor) -> tuple[str, str, tuple[int, ...]]:
    return tensor.name, str(tensor.datatype), tensor.dims


def _note(feeds: dict[AssetKey, dict[AssetKey, None]], source: Step, target: AssetKey) -> None:
    for branch in source:
        feeds.setdefault(branch.deployment, {})[target] = None


# As JSON, in the attribute `serving` and in the answer of the API


def to_json(steps: Steps) -> Json:
    def told(branch: Branch) -> Json:
        asked = {} if branch.output is None else {"output": branch.output, "equals": branch.equals}
        return {"deployment": str(branch.deployment), **asked}

    return [
        {"deployment": str(step[0].deployment)} if _takes_all(step) else {"switch": [*map(told, step)]}
        for step in steps
    ]


def from_json(stated: Json) -> Steps:
    """Raises InvalidInput, InvalidKey."""
    if not isinstance(stated, list) or not stated:
        raise InvalidInput("a composition is a list of steps", stated)
    return tuple(_step(each) for each in stated)


def _step(stated: Json) -> Step:
    if isinstance(stated, dict) and isinstance(stated.get("deployment"), str):
        return (Branch(AssetKey.parse(str(stated["deployment"]))),)
    branches = stated.get("switch") if isinstance(stated, dict) else None
    if not isinstance(branches, list) or not branches or not all(isinstance(branch, dict) for branch in branches):
        raise InvalidInput("a step is {deployment} or {switch: [{deployment, output, equals}]}", stated)
    return tuple(_branch(cast("dict[str, Json]", branch)) for branch in branches)


def _branch(stated: Mapping[str, Json]) -> Branch:
    equals, output = stated.get("equals"), stated.get("output")
    if isinstance(equals, list | dict) or not isinstance(output, str | None):
        raise InvalidInput("a branch compares an output by name with one value", stated)
    return Branch(AssetKey.parse(str(stated.get("deployment"))), output, equals)


def _takes_all(step: Step) -> bool:
    return len(step) == 1 and step[0].output is None
