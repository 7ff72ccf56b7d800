"""What it means to callers that the form of requests or responses differs."""

from graph.check.verdicts import Difference, Verdict
from graph.model import Json


def request_differences(before: Json, after: Json) -> list[Difference]:
    return [Difference("request", before, after, Verdict.BREAKING, "its requests have another form")]


def response_differences(before: Json, after: Json) -> list[Difference]:
    return [Difference("response", before, after, Verdict.BREAKING, "its responses have another form")]
