"""A column goes in peace: it is deprecated, its use is watched, its reader agrees, and the check lets the removal pass."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.identity import Kind, Role, create_token
from tests.repository import Repository
from tests.service import running_service

pytestmark = pytest.mark.timeout(300)

AMOUNT, TILL = "column:shop/orders#amount", "consumer:till/till"
POLICY = {
    "version": 1,
    "rules": [
        {"name": "announced", "match": {"alteration": ["removed", "renamed"]}, "deprecation": {"days": 1}},
        {"name": "agreed", "match": {"verdict": "breaking"}, "effect": "acknowledge"},
    ],
    "acknowledgement": {"by": "owners", "flag": False},
}


def shop(*columns: str, **fields: str) -> dict[str, Any]:
    named = [{"name": name, "type": fields.get(name, "double")} for name in columns]
    return {"version": 1, "namespace": "shop", "datasets": [{"name": "orders", "columns": named}]}


def test_from_the_announcement_to_the_word_of_the_owner(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.json"
    engineer = create_token(tokens, "engineer", Role.CONTRIBUTOR, Kind.PERSON)
    owner = create_token(tokens, "tills", Role.CONTRIBUTOR, Kind.PERSON)
    till = {
        "version": 1,
        "namespace": "till",
        "consumers": [{"name": "till", "owners": ["tills"], "uses": [AMOUNT]}],
    }
    (tmp_path / "till.yaml").write_text(yaml.safe_dump(till))
    with running_service(f"sqlite:///{tmp_path}/store.db", tokens_file=tokens) as address:
        repository = Repository.made(tmp_path / "repository", address, {"HEADWATER_TOKEN": str(engineer)})
        (repository.folder / "headwater.policy.yaml").write_text(yaml.safe_dump(POLICY))
        repository.commit(shop("amount", "note"))
        for arguments in (("apply",), ("apply", "--file", str(tmp_path / "till.yaml"))):
            assert repository.headwater(*arguments).returncode == 0
        repository.git("checkout", "--quiet", "-b", "change")

        repository.commit(shop("note"))
        blocked = repository.headwater("check")
        assert blocked.returncode == 1
        assert "without having been deprecated for 1 day" in " ".join(blocked.stdout.split())
        told = repository.headwater(
            "deprecate", AMOUNT, "--use", "column:shop/orders#note", "--reason", "mixed currencies"
        )
        assert told.returncode == 0, told.stderr
        shown = repository.headwater("deprecations").stdout
        assert AMOUNT in shown
        assert "mixed currencies" in shown
        assert "consumer till" in shown
        assert "may go from" in " ".join(repository.headwater("check").stdout.split())

        repository.commit(shop("amount", "note", amount="text"))
        waits = repository.headwater("check", "--acknowledge")
        assert waits.returncode == 3
        assert "--acknowledge does not count here" in waits.stderr
        assert (
            f"headwater acknowledge {TILL} --change {AMOUNT} " in repository.headwater("check", "-o", "markdown").stdout
        )
        word = ("acknowledge", TILL, "--note", "we cast it")
        assert "owned by tills, and you are engineer" in repository.headwater(*word).stderr
        given = repository.headwater(*word, HEADWATER_TOKEN=str(owner))
        assert given.returncode == 0, given.stderr
        clean = repository.headwater("check", "--output", "json")
        assert clean.returncode == 0
        decision = json.loads(clean.stdout)["affected"][0]["decision"]
        assert (decision["acknowledgedBy"], decision["acknowledgements"][0]["note"]) == (["tills"], "we cast it")
        repository.commit(shop("amount", "note", amount="bigint"))
        assert repository.headwater("check").returncode == 3
        assert repository.headwater("undeprecate", AMOUNT).returncode == 0
