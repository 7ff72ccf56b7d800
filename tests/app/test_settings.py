import re
from pathlib import Path

import pytest

from app.settings import Settings, SettingsInvalid, misspelt, read_settings, variable

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(variable(name), raising=False)


def test_nothing_needs_to_be_set() -> None:
    settings = read_settings()
    assert settings.host == "127.0.0.1"
    assert settings.sqlite_path == Path("headwater.db")
    assert settings.tokens_file is None


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_PORT", "")
    assert read_settings().port == 8321


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///lineage.db", "lineage.db"),
        ("sqlite:///folder/lineage.db", "folder/lineage.db"),
        ("sqlite:////data/lineage.db", "/data/lineage.db"),
        ("sqlite:////data/my%20lineage.db", "/data/my lineage.db"),
    ],
)
def test_three_slashes_are_relative_and_four_absolute(monkeypatch: pytest.MonkeyPatch, url: str, path: str) -> None:
    monkeypatch.setenv("HEADWATER_STORE", url)
    assert read_settings().sqlite_path == Path(path)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("neo4j://headwater:secret@db:7687/neo4j", "neo4j://headwater:***@db:7687/neo4j"),
        ("neo4j+s://headwater:sec@ret@db/neo4j", "neo4j+s://headwater:***@db/neo4j"),
        ("bolt://:secret@db", "bolt://:***@db"),
        ("bolt://db:7687", "bolt://db:7687"),
        ("sqlite:////data/lineage.db", "sqlite:////data/lineage.db"),
    ],
)
def test_a_password_is_never_shown(monkeypatch: pytest.MonkeyPatch, url: str, shown: str) -> None:
    monkeypatch.setenv("HEADWATER_STORE", url)
    settings = read_settings()
    assert settings.store_redacted == shown
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("HEADWATER_STORE", "postgres://headwater:secret@db/lineage", "sqlite:///file.db"),
        ("HEADWATER_STORE", "sqlite://lineage.db", "sqlite:////folder/file.db"),
        ("HEADWATER_STORE", "sqlite:///", "sqlite:///file.db"),
        ("HEADWATER_STORE", "neo4j://headwater:secret", "neo4j://user:password@host:port/database"),
        ("HEADWATER_STORE", "neo4j://headwater:sec/ret@db/neo4j", "%XX"),
        ("HEADWATER_PORT", "70000", "less than or equal to 65535"),
        ("HEADWATER_LOG_FORMAT", "xml", "'auto', 'console' or 'json'"),
        ("HEADWATER_ALLOWED_ORIGINS", "https://one.example/path", "'https://one.example/path'"),
        ("HEADWATER_FOLLOW_SECONDS", "0", "greater than 0"),
        ("HEADWATER_WEBHOOK_SECRET", "whsec_c2hvcnQ=", "base64 of 24 to 64 random bytes"),
        ("HEADWATER_WEBHOOK_URL", "hooks.example", "https://hooks.example/headwater"),
        ("HEADWATER_WEBHOOK_URL", "https://user:secret@hooks.example/", "without a user"),
        ("HEADWATER_WEBHOOK_URL", "http://hooks.example/", "https at port 443"),
        ("HEADWATER_WEBHOOK_URL", "https://hooks.example:8443/", "HEADWATER_WEBHOOK_INTERNAL=true"),
        ("HEADWATER_WEBHOOK_URL", "https://hooks.example/", "needs HEADWATER_WEBHOOK_SECRET"),
        ("HEADWATER_CONSUMER_AGENTS", "(?P<name>[a-z]+)/.*, ([a-z]+)-svc/.*", "'([a-z]+)-svc/.*' has no group `name`"),
        ("HEADWATER_TRACE_TARGETS", "https?://models/([a-z]+)", "has no group `deployment`"),
        ("HEADWATER_TRACE_TARGETS", "https?://models/(?P<deployment>.+)/(?P<version>.+)", "or others than these"),
        ("HEADWATER_TRACE_TARGETS", "https?://lake/(?P<dataset>.+)", "needs a group `namespace` too"),
        (
            "HEADWATER_TRACE_TARGETS",
            "(?P<deployment>[a-z]{1,9})",
            "without commas, and '(?P<deployment>[a-z]{1' is none",
        ),
        ("HEADWATER_CONSUMER_AGENTS", "(?P<name>[a-z]{1,9})/.*", "without commas, and '(?P<name>[a-z]{1' is none"),
    ],
)
def test_an_error_names_the_variable_and_what_would_be_right(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsInvalid) as refused:
        read_settings()
    assert str(refused.value).startswith(name)
    assert says in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "headwater.example", ""])
def test_an_address_beyond_loopback_needs_tokens(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("HEADWATER_HOST", host or "*")
    with pytest.raises(SettingsInvalid, match=r"HEADWATER_TOKENS_FILE must name a file.*python -m app token create"):
        read_settings()
    monkeypatch.setenv("HEADWATER_TOKENS_FILE", "tokens.json")
    assert read_settings().tokens_file == Path("tokens.json")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_needs_no_tokens(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("HEADWATER_HOST", host)
    assert read_settings().tokens_file is None


def test_origins_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_ALLOWED_ORIGINS", "https://one.example, https://two.example:8443")
    assert read_settings().allowed_origins == ("https://one.example", "https://two.example:8443")


def test_a_name_that_is_nearly_a_setting_is_pointed_out() -> None:
    environment = {"HEADWATER_TOKEN_FILE": "t", "HEADWATER_PORT": "1", "HEADWATER_NEO4J_PASSWORD": "p", "PATH": "/"}
    assert misspelt(environment) == [
        "HEADWATER_TOKEN_FILE is not a setting and has no effect; did you mean HEADWATER_TOKENS_FILE?"
    ]


def test_every_setting_is_documented_with_its_default_and_nothing_else_is() -> None:
    rows = re.findall(r"^\| `(HEADWATER_\w+)` \| ([^|]+) \|", OPERATIONS.read_text(encoding="utf-8"), re.MULTILINE)
    fields = Settings.model_fields.items()
    written = {name: default.strip().strip("`") for name, default in rows}
    assert written == {variable(name): _shown(field.default) for name, field in fields}


def _shown(default: object) -> str:
    return "none" if default in (None, ()) else str(default)


def test_each_neo4j_has_a_snapshot_of_its_own_whatever_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    def snapshot(store: str) -> Path:
        monkeypatch.setenv("HEADWATER_STORE", store)
        return read_settings().snapshot_path

    monkeypatch.setenv("HEADWATER_DATA", "/data")
    lineage = snapshot("neo4j://headwater:old%20one@db:7687/lineage")
    assert lineage.parent == Path("/data")
    assert lineage == snapshot("neo4j://headwater:new@db:7687/lineage")
    others = {snapshot(f"neo4j://headwater:new@{place}") for place in ("db:7688/lineage", "db:7687/other", "db2:7687")}
    assert len({lineage, *others}) == 4
    assert snapshot("sqlite:////files/lineage.db") == Path("/files/lineage.db-index")
