"""What of a repository is sent to be checked: real git repositories, and the documents that are collected from them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from headwater.errors import HeadwaterError
from headwater.project import Compared, Version, compared, here
from headwater.repository import find_base

from tests.repository import Repository

SQL = {"format": "sql", "files": ["models/**/*.sql"], "dialect": "duckdb", "namespace": "w"}
TABLE = {"name": "t", "namespace": "w", "columns": [{"name": "a"}]}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.made(tmp_path / "repository", "")


def _write(repository: Repository, files: Mapping[str, Any]) -> None:
    for path, content in files.items():
        file = repository.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            file.write_text(content if isinstance(content, str) else yaml.safe_dump(content))


def _commit(repository: Repository, files: Mapping[str, Any]) -> None:
    _write(repository, files)
    repository.git("add", "--all")
    repository.git("commit", "--quiet", "--message", "Declare")


def _manifest(namespace: str, **more: Any) -> dict[str, Any]:
    return {"version": 1, "namespace": namespace, **more}


def _compared(repository: Repository, **options: Any) -> Compared:
    return compared(repository.folder, find_base(repository.folder, "main"), **options)


def _sent(version: Version) -> list[str]:
    return [f"{each['format']} {each['path']}" for each in version.documents]


def test_manifests_are_found_wherever_git_does_not_ignore_them(repository: Repository) -> None:
    _commit(
        repository,
        {
            "headwater.yaml": _manifest("a"),
            "deep/in/prices.headwater.yaml": _manifest("b"),
            "nonheadwater.yaml": _manifest("c"),
            ".gitignore": "ignored/\n",
        },
    )
    _write(repository, {"new/headwater.yaml": _manifest("d"), "ignored/headwater.yaml": _manifest("e")})
    assert _sent(here(repository.folder)) == [
        "MANIFEST deep/in/prices.headwater.yaml",
        "MANIFEST headwater.yaml",
        "MANIFEST new/headwater.yaml",
    ]
    assert _sent(here(repository.folder / "deep", [repository.folder / "headwater.yaml"])) == [
        "MANIFEST headwater.yaml"
    ]


def test_only_what_differs_is_sent(repository: Repository) -> None:
    _commit(repository, {f"{name}/headwater.yaml": _manifest(name) for name in ("gone", "kept", "other", "old")})
    _write(repository, {"kept/headwater.yaml": "# a comment\nversion: 1\nnamespace: kept\n"})
    _write(repository, {"other/headwater.yaml": _manifest("other", datasets=[{"name": "t"}])})
    (repository.folder / "gone/headwater.yaml").unlink()
    repository.git("mv", "old", "renamed")
    found = _compared(repository)
    assert _sent(found.base) == [f"MANIFEST {name}/headwater.yaml" for name in ("gone", "old", "other")]
    assert _sent(found.head) == [f"MANIFEST {name}/headwater.yaml" for name in ("other", "renamed")]
    assert found.base.texts["other/headwater.yaml"] != found.head.texts["other/headwater.yaml"]


def test_a_manifest_whose_file_differs_is_sent_with_it(repository: Repository) -> None:
    feature = {"name": "f", "definition": {"file": "../code/features.py", "function": "f"}}
    _commit(
        repository,
        {
            "shop/headwater.yaml": _manifest("shop", feature_views=[{"name": "v", "features": [feature]}]),
            "code/features.py": "from rates import rate\n\ndef f(a):\n    return a * rate(a)\n",
            "code/rates.py": "def rate(a):\n    return 2\n",
            "unused.py": "",
            "bank/headwater.yaml": _manifest("bank", attributes={"file": "no reference"}),
        },
    )
    assert (_compared(repository).base.documents, _compared(repository).head.documents) == ([], [])
    _write(repository, {"code/rates.py": "def rate(a):\n    return 3\n", "unused.py": "x"})
    found = _compared(repository)
    sent = ["FILE code/features.py", "FILE code/rates.py", "MANIFEST shop/headwater.yaml"]
    assert _sent(found.base) == _sent(found.head) == sent
    assert [each.documents[1]["content"][-2] for each in (found.base, found.head)] == ["2", "3"]


def test_all_sql_of_a_source_is_sent_when_any_of_it_differs_with_the_columns_of_its_tables(
    repository: Repository,
) -> None:
    _commit(
        repository,
        {
            "headwater.yaml": _manifest("shop", sources=[{**SQL, "columns": "schema.json"}]),
            "schema.json": {"s": ["x"]},
            "models/one.sql": "create table o as select a from t",
            "models/deep/two.sql": "create table p as select a from t",
            "tables/headwater.yaml": _manifest("tables", datasets=[TABLE]),
            "others/headwater.yaml": _manifest("others", datasets=[TABLE | {"namespace": "elsewhere"}]),
        },
    )
    schema = repository.folder / "schema.json"
    schema.write_text(json.dumps({"s": ["x"]}))
    repository.git("commit", "--all", "--quiet", "--message", "As JSON")
    assert _compared(repository).head.documents == []
    _write(repository, {"models/one.sql": "create table o as select 2 * a as a from t"})
    found = _compared(repository)
    assert _sent(found.base) == _sent(found.head) == ["SQL headwater.yaml", "MANIFEST tables/headwater.yaml"]
    sql = found.head.documents[0]
    assert sql["content"]["tables"] == {"s": ["x"]}
    assert [each["path"] for each in sql["content"]["files"]] == ["models/deep/two.sql", "models/one.sql"]
    assert sql["options"] == {
        "at": "sources[0]",
        "dialect": "duckdb",
        "files": ["models/deep/two.sql", "models/one.sql"],
        "manifest": {"namespace": "shop"},
        "namespace": "w",
    }

    repository.git("checkout", "--quiet", "models")
    _write(repository, {"tables/headwater.yaml": _manifest("tables", datasets=[TABLE | {"columns": [{"name": "b"}]}])})
    found = _compared(repository)
    assert _sent(found.base) == _sent(found.head) == ["SQL headwater.yaml", "MANIFEST tables/headwater.yaml"]


def test_of_a_dbt_manifest_that_git_ignores_the_base_is_elsewhere_or_unknown(
    repository: Repository, tmp_path: Path
) -> None:
    _commit(
        repository,
        {"dbt/headwater.yaml": _manifest("d", sources=[{"format": "dbt", "files": "."}]), ".gitignore": "target\n"},
    )
    with pytest.raises(HeadwaterError, match=r"dbt/headwater.yaml: sources\[0\]: there is no \., .*dbt compile"):
        here(repository.folder)
    _write(
        repository, {"dbt/target/manifest.json": '{"nodes": {}, "macros": {"m": 1}}', "dbt/target/catalog.json": "{}"}
    )
    assert here(repository.folder).documents[0]["content"] == {"manifest": {"nodes": {}}, "catalog": {}}
    found = _compared(repository)
    (base,), (head,) = found.base.documents, found.head.documents
    assert base["content"] == head["content"]
    assert "dbt/target/manifest.json as it was at main" in base["options"]["missing"].replace("catalog", "manifest")
    assert head["options"]["missing"] == base["options"]["missing"]

    beside = tmp_path / "base/dbt/target"
    beside.mkdir(parents=True)
    (beside / "manifest.json").write_text('{"nodes": {"a": {}}}')
    found = _compared(repository, base_folder=tmp_path / "base")
    assert found.base.documents[0]["content"] == {"manifest": {"nodes": {"a": {}}}}
    assert "missing" not in found.base.documents[0]["options"]


def test_a_feast_repository_is_sent_as_its_texts(repository: Repository) -> None:
    _commit(
        repository,
        {
            "headwater.yaml": _manifest("f", sources=[{"format": "feast", "files": "repo"}]),
            "repo/feature_store.yaml": "project: shop\n",
            "repo/views/a.py": "x = 1\n",
            "repo/notes.txt": "",
            "repo/venv/b.py": "",
        },
    )
    feast = here(repository.folder).documents[0]
    assert feast["content"] == {
        "files": [{"path": "repo/views/a.py", "text": "x = 1\n"}],
        "folder": "repo",
        "store": {"project": "shop"},
    }


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("../../outside.sql", r"shop/headwater.yaml: ../../outside.sql is outside the repository"),
        ("/etc/hosts", r"shop/headwater.yaml: /etc/hosts is outside the repository"),
        ("link.sql", r"shop/link.sql goes through a symbolic link, shop/link.sql"),
        ("binary.sql", r"shop/binary.sql is no text: there is a byte 0 at 1"),
        ("latin.sql", r"shop/latin.sql is not UTF-8: .* at byte 3"),
    ],
)
def test_a_file_that_must_not_or_cannot_be_read_is_named(repository: Repository, named: str, told: str) -> None:
    (repository.folder.parent / "outside.sql").write_text("select 1")
    manifest = _manifest("shop", jobs=[{"name": "j", "definition": {"file": named}}])
    _commit(repository, {"shop/headwater.yaml": manifest})
    _write(repository, {"shop/binary.sql": b"x\0", "shop/latin.sql": b"caf\xe9"})
    (repository.folder / "shop/link.sql").symlink_to(repository.folder.parent / "outside.sql")
    with pytest.raises(HeadwaterError, match=told):
        here(repository.folder)


def test_all_that_cannot_be_used_is_told_at_once(repository: Repository) -> None:
    _commit(repository, {"a/headwater.yaml": "version: [1", "b/headwater.yaml": b"\xff", "c/headwater.yaml": "[]"})
    _write(repository, {"a/headwater.yaml": "version: {"})
    with pytest.raises(HeadwaterError) as found:
        _compared(repository)
    told = str(found.value).splitlines()
    assert len(told) == 2
    assert told[0].startswith("a/headwater.yaml at main")
    assert told[1].startswith("a/headwater.yaml:1:")


def test_outside_of_git_the_files_of_a_folder_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / "a").mkdir()
    (tmp_path / "a/headwater.yaml").write_text("version: 1\nnamespace: n\n")
    assert _sent(here(tmp_path)) == ["MANIFEST a/headwater.yaml"]
