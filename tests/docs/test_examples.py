"""Every GraphQL example of the pages is valid, against the schema that clients are given."""

import re
from pathlib import Path

import pytest
import yaml
from graphql import build_schema, parse, validate
from headwater.terminal import ACKNOWLEDGE_CODE, BLOCKED_CODE, CLEAN_CODE, UNREACHABLE_CODE, USAGE_CODE

from app.graphql.limits import MAX_COST, operation_cost
from app.graphql.schema import schema
from graph.check.policy import read_policy
from graph.importers.manifest import read_manifest

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/api.md", "docs/sources.md", "frontend/src/graphiql/welcome.graphql")
SCHEMA = build_schema((ROOT / "app" / "graphql" / "schema.graphql").read_text(encoding="utf-8"))


def examples() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        blocks = (
            re.findall(r"^```graphql\n(.*?)^```$", text, re.MULTILINE | re.DOTALL) if page.endswith(".md") else [text]
        )
        found += [(f"{page} {number}", block) for number, block in enumerate(blocks, 1)]
    return found


EXAMPLES = examples()


def test_each_page_has_examples() -> None:
    assert {name.split()[0] for name, _ in EXAMPLES} == set(PAGES)


@pytest.mark.parametrize("example", [text for _, text in EXAMPLES], ids=[name for name, _ in EXAMPLES])
def test_the_example_is_valid_and_within_the_limits(example: str) -> None:
    document = parse(example)
    assert validate(SCHEMA, document) == []
    assert operation_cost(schema._schema, document, {}) <= MAX_COST


@pytest.mark.parametrize("page", ["README.md", "docs/api.md", "docs/sources.md", "docs/check.md", "CHANGELOG.md"])
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text)
    missing = [link for link in links if "://" not in link and not ((ROOT / page).parent / link).exists()]
    assert missing == []


def test_the_manifest_and_the_policy_of_the_page_can_be_used() -> None:
    manifest, policy = re.findall(
        r"^```yaml\n(# yaml-language-server.*?)^```$", page("docs/check.md"), re.MULTILINE | re.DOTALL
    )
    registration = read_manifest(yaml.safe_load(manifest)).registration
    assert registration.origin == "manifest:cellar/data"
    assert [rule.name for rule in read_policy(yaml.safe_load(policy)).rules] == [
        "checkout stays",
        "announced first",
        "hardly used",
    ]


def test_the_exit_codes_of_the_page_are_those_of_the_command() -> None:
    told = re.findall(r"^\| (\d) \|", page("docs/check.md"), re.MULTILINE)
    assert [int(code) for code in told] == [CLEAN_CODE, BLOCKED_CODE, USAGE_CODE, ACKNOWLEDGE_CODE, UNREACHABLE_CODE]


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")
