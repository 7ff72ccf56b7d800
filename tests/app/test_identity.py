import json
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.__main__ import main
from app.identity import (
    FileTokens,
    Forbidden,
    Kind,
    OpenTokens,
    Principal,
    Role,
    TokensUnreadable,
    Unauthenticated,
    create_token,
    identify,
    new_token,
    read_tokens,
    revoke_tokens,
    well_formed,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens.json"


def made(path: Path, name: str = "ada", role: Role = Role.READER, kind: Kind = Kind.PERSON) -> str:
    token = create_token(path, name, role, kind)
    assert token is not None
    return token


def test_a_token_is_bound_to_a_name_a_kind_and_a_role(path: Path) -> None:
    token = made(path, "checkout", Role.CONTRIBUTOR, Kind.CONSUMER)
    assert FileTokens(path).principal(token) == Principal("checkout", Kind.CONSUMER, Role.CONTRIBUTOR)


def test_the_file_keeps_no_token_and_only_its_owner_reads_it(path: Path) -> None:
    token = made(path)
    assert token[3:-6] not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["tokens.json"]


def test_tokens_differ_and_have_one_form() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(well_formed(token) and token.startswith("hw_") and len(token) == 52 for token in tokens)


def test_one_wrong_letter_is_a_typing_error_at_every_place() -> None:
    token = new_token()
    for place in range(3, len(token)):
        wrong = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        assert not well_formed(wrong)


def test_the_reasons_for_a_refusal_are_told_apart(path: Path) -> None:
    token = made(path)
    tokens = FileTokens(path)
    with pytest.raises(Unauthenticated, match="needs a token"):
        identify(tokens, None)
    with pytest.raises(Unauthenticated, match="mistyped"):
        identify(tokens, token[:-1])
    with pytest.raises(Unauthenticated, match="unknown, revoked or expired"):
        identify(tokens, new_token())
    with pytest.raises(Unauthenticated, match="unknown, revoked or expired"):
        identify(tokens, "hunter2 ü")
    with pytest.raises(Forbidden, match="needs the role contributor; ada has the role reader"):
        identify(tokens, token).require(Role.CONTRIBUTOR)


def test_a_higher_role_may_all_that_a_lower_one_may() -> None:
    for held in Role:
        for needed in Role:
            principal = Principal("ada", Kind.PERSON, held)
            if held >= needed:
                principal.require(needed)
            else:
                with pytest.raises(Forbidden):
                    principal.require(needed)


def test_an_expired_token_is_refused(path: Path) -> None:
    soon, past = datetime.now(UTC) + timedelta(hours=1), datetime.now(UTC) - timedelta(seconds=1)
    valid = create_token(path, "ada", Role.READER, Kind.PERSON, expires=soon)
    expired = create_token(path, "bob", Role.READER, Kind.PERSON, expires=past)
    assert valid is not None
    assert expired is not None
    tokens = FileTokens(path)
    assert tokens.principal(valid) is not None
    assert tokens.principal(expired) is None


def test_a_new_token_and_a_revocation_are_seen_without_a_restart(path: Path) -> None:
    first = made(path, "ada")
    tokens = FileTokens(path)
    second = made(path, "bob")
    assert tokens.principal(second) is not None
    assert [record.name for record in revoke_tokens(path, "ada")] == ["ada"]
    assert tokens.principal(first) is None
    assert tokens.principal(second) is not None


def test_one_of_two_tokens_of_a_name_is_revoked_by_its_id(path: Path) -> None:
    old, new = made(path), made(path)
    revoke_tokens(path, read_tokens(path)[0].id)
    tokens = FileTokens(path)
    assert tokens.principal(old) is None
    assert tokens.principal(new) is not None


@pytest.mark.parametrize("spoil", [lambda path: path.write_text("{"), lambda path: path.unlink()])
def test_an_edit_that_went_wrong_locks_nobody_out(path: Path, spoil: object) -> None:
    token = made(path)
    tokens = FileTokens(path)
    assert callable(spoil)
    spoil(path)
    assert tokens.principal(token) is not None


SHA = "0" * 64
GOOD = {"name": "ada", "kind": "person", "role": "reader", "sha256": SHA, "created": "2026-11-23T14:00:00+00:00"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "is not JSON"),
        ("[]", 'has no list "tokens"'),
        ('{"tokens": {}}', 'has no list "tokens"'),
        ('{"tokens": [1]}', "token 1 of"),
        (
            json.dumps({"tokens": [GOOD, {**GOOD, "role": "root"}]}),
            "token 2 of .*'root'.*reader, contributor, operator",
        ),
        (json.dumps({"tokens": [{**GOOD, "role": "nobody"}]}), "'nobody'"),
        (json.dumps({"tokens": [{**GOOD, "sha256": "00"}]}), "64 lower-case hexadecimal digits"),
        (json.dumps({"tokens": [{**GOOD, "expires": "2026-11-23T14:00:00"}]}), "no time zone"),
        (json.dumps({"tokens": [{"name": "ada"}]}), "'sha256' is missing"),
    ],
)
def test_a_malformed_file_is_refused_at_the_start(path: Path, content: str, says: str) -> None:
    path.write_text(content)
    with pytest.raises(TokensUnreadable, match=says):
        FileTokens(path)


def test_a_missing_file_is_refused_at_the_start(path: Path) -> None:
    with pytest.raises(TokensUnreadable, match=r"tokens\.json cannot be read"):
        FileTokens(path)


def test_making_a_token_never_overwrites_what_is_not_a_tokens_file(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(TokensUnreadable):
        made(path)
    assert path.read_text() == "precious"


def test_tokens_made_at_once_are_all_kept(path: Path) -> None:
    threads = [threading.Thread(target=made, args=(path, f"name{number}")) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(record.name for record in read_tokens(path)) == [f"name{number}" for number in range(8)]


def test_without_tokens_everybody_is_an_operator() -> None:
    assert identify(OpenTokens(), None).role is Role.OPERATOR
    assert identify(OpenTokens(), "anything").role is Role.OPERATOR


# The commands


def test_the_command_shows_a_token_once(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    create = ["token", "create", "--file", str(path), "--name", "ada", "--role", "operator", "--if-missing"]
    assert main(create) == 0
    token = next(word for word in capsys.readouterr().out.split() if well_formed(word))
    assert FileTokens(path).principal(token) == Principal("ada", Kind.PERSON, Role.OPERATOR)
    assert main(create) == 0
    assert "nothing was made" in capsys.readouterr().out
    assert len(read_tokens(path)) == 1


def test_if_missing_makes_one_when_the_other_has_expired(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    create_token(path, "ada", Role.READER, Kind.PERSON, expires=datetime.now(UTC) - timedelta(days=1))
    assert main(["token", "create", "--file", str(path), "--name", "ada", "--role", "reader", "--if-missing"]) == 0
    assert len(read_tokens(path)) == 2


def test_the_list_shows_who_and_until_when(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(path, "ada", Role.OPERATOR)
    main(
        [
            "token",
            "create",
            "--file",
            str(path),
            "--name",
            "ci",
            "--role",
            "reader",
            "--kind",
            "consumer",
            "--days",
            "1",
        ]
    )
    capsys.readouterr()
    assert main(["token", "list", "--file", str(path)]) == 0
    header, ada, ci = capsys.readouterr().out.splitlines()
    assert header.split() == ["ID", "NAME", "KIND", "ROLE", "CREATED", "EXPIRES"]
    assert ada.split()[1:4] == ["ada", "person", "operator"]
    assert ada.endswith("never")
    assert ci.split()[1:4] == ["ci", "consumer", "reader"]


def test_revoking_says_what_was_revoked(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(path)
    assert main(["token", "revoke", "--file", str(path), "ada"]) == 0
    assert "of ada" in capsys.readouterr().out
    assert main(["token", "revoke", "--file", str(path), "ada"]) == 1
    assert "no token of the name or id 'ada'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", " ada", "a\nb", "x" * 201])
def test_an_unusable_name_is_refused(path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "create", "--file", str(path), "--name", name, "--role", "reader"]) == 2
    assert "printable characters" in capsys.readouterr().err
