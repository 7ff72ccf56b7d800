"""The service and its commands; `python -m app --help`."""

import argparse
import gc
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from app.identity import ROLES, Kind, TokensUnreadable, create_token, read_tokens, revoke_tokens
from app.settings import SettingsInvalid, read_settings
from graph.errors import GraphError
from graph.stores.contract import Store

SCHEMA_FILE = Path(__file__).parent / "graphql" / "schema.graphql"
CLEAN, DIFFERENT, USAGE, STORE = 0, 1, 2, 3
EXIT_CODES = """\
exit codes:
  0  done; nothing is wrong
  1  differences were found (check-store, schema --check), or there was nothing to do (token revoke)
  2  the command, a setting or the tokens file is wrong, or the address is in use
  3  the store is unavailable or cannot be used
"""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except SettingsInvalid as error:
        return _fail(USAGE, str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m app",
        description="Headwater, a lineage service. Settings come from the environment: see docs/operations.md.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=serve)
    commands = parser.add_subparsers(metavar="command")
    commands.add_parser("serve", help="run the service in the foreground (the default)").set_defaults(run=serve)

    tokens = commands.add_parser("token", help="make, list and revoke tokens").add_subparsers(
        metavar="command", required=True
    )
    create = tokens.add_parser("create", help="make a token and show it, once")
    create.add_argument("--file", type=Path, required=True, help="the tokens file; made if missing")
    create.add_argument("--name", required=True, help="whom it is bound to")
    create.add_argument("--role", required=True, choices=list(ROLES))
    create.add_argument("--kind", default="person", choices=["person", "consumer"], help="(default: person)")
    create.add_argument("--days", type=_days, help="how long it is valid (default: until revoked)")
    create.add_argument("--if-missing", action="store_true", help="do nothing if the name has a valid token")
    create.set_defaults(run=token_create)
    listing = tokens.add_parser("list", help="list the tokens, without what is secret")
    listing.add_argument("--file", type=Path, required=True)
    listing.set_defaults(run=token_list)
    revoke = tokens.add_parser("revoke", help="make tokens invalid, at once in a running service")
    revoke.add_argument("--file", type=Path, required=True)
    revoke.add_argument("name", help="all tokens of this name, or the one with this id")
    revoke.set_defaults(run=token_revoke)

    schema = commands.add_parser("schema", help="print the GraphQL schema")
    schema.add_argument("--check", action="store_true", help="only say whether app/graphql/schema.graphql is current")
    schema.add_argument("--manifest", action="store_true", help="print the JSON Schema of headwater.yaml instead")
    schema.add_argument("--policy", action="store_true", help="print that of headwater.policy.yaml instead")
    schema.set_defaults(run=schema_command)
    commands.add_parser("check-store", help="look for anything wrong in the store of HEADWATER_STORE").set_defaults(
        run=check_store
    )
    return parser


def serve(_: argparse.Namespace) -> int:
    settings = read_settings()
    gc.disable()  # a quarter of the start went into looking for garbage among what stays
    from app.serve import CannotServe, serve  # noqa: PLC0415 (the other commands start faster without the server)

    gc.freeze()
    gc.enable()
    try:
        failure = serve(settings)
    except CannotServe as error:
        return _fail(USAGE, str(error))
    finally:
        gc.unfreeze()  # else libraries find their types alive at the end, and report leaks
    return CLEAN if failure is None else _fail(STORE, str(failure))


def token_create(options: argparse.Namespace) -> int:
    expires = None if options.days is None else datetime.now(UTC).replace(microsecond=0) + timedelta(days=options.days)
    try:
        token = create_token(
            options.file,
            options.name,
            ROLES[options.role],
            Kind(options.kind),
            expires=expires,
            if_missing=options.if_missing,
        )
    except (TokensUnreadable, ValueError) as error:
        return _fail(USAGE, str(error))
    except OSError as error:
        return _fail(USAGE, f"cannot write {options.file}: {error.strerror}")
    if token is None:
        print(f"{options.name} has a valid token already; nothing was made")
        return CLEAN
    print(f"A token for {options.name} ({options.kind}, {options.role}), shown only now:\n\n  {token}\n")
    print(f"Send it as `Authorization: Bearer {token[:5]}…`. {options.file} keeps its SHA-256 alone.")
    return CLEAN


def token_list(options: argparse.Namespace) -> int:
    try:
        records = read_tokens(options.file)
    except TokensUnreadable as error:
        return _fail(USAGE, str(error))
    now = datetime.now(UTC)
    rows = [("ID", "NAME", "KIND", "ROLE", "CREATED", "EXPIRES")]
    for record in records:
        expires = "never" if record.expires is None else f"{record.expires:%Y-%m-%d}"
        expires += " (expired)" if record.expired(now) else ""
        rows.append((record.id, record.name, record.kind, str(record.role), f"{record.created:%Y-%m-%d}", expires))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return CLEAN


def token_revoke(options: argparse.Namespace) -> int:
    try:
        revoked = revoke_tokens(options.file, options.name)
    except TokensUnreadable as error:
        return _fail(USAGE, str(error))
    except OSError as error:
        return _fail(USAGE, f"cannot write {options.file}: {error.strerror}")
    for record in revoked:
        print(f"revoked {record.id} of {record.name}")
    return CLEAN if revoked else _fail(DIFFERENT, f"no token of the name or id {options.name!r}")


def schema_command(options: argparse.Namespace) -> int:
    if options.manifest:
        from graph.importers.manifest_format import manifest_schema  # noqa: PLC0415

        print(json.dumps(manifest_schema(), indent=2))
        return CLEAN
    if options.policy:
        from graph.check.policy import policy_schema  # noqa: PLC0415

        print(json.dumps(policy_schema(), indent=2))
        return CLEAN
    from app.graphql.schema import schema  # noqa: PLC0415

    text = schema.as_str().rstrip("\n") + "\n"
    if not options.check:
        print(text, end="")
        return CLEAN
    if SCHEMA_FILE.is_file() and SCHEMA_FILE.read_text(encoding="utf-8") == text:
        return CLEAN
    return _fail(
        DIFFERENT, "app/graphql/schema.graphql is not current: python -m app schema > app/graphql/schema.graphql"
    )


def check_store(_: argparse.Namespace) -> int:
    settings = read_settings()
    from app.compose import open_store  # noqa: PLC0415

    if settings.sqlite_path is not None and not settings.sqlite_path.exists():
        return _fail(STORE, f"there is no file {settings.sqlite_path}")
    try:
        store = open_store(settings)
        try:
            found = [*store.check(), *index_differences(store)]
        finally:
            store.close()
    except GraphError as error:
        return _fail(STORE, f"{settings.store_redacted}: {error}")
    for sentence in found:
        print(sentence)
    print(f"{settings.store_redacted}: {f'{len(found)} differences' if found else 'all is well'}", file=sys.stderr)
    return DIFFERENT if found else CLEAN


def index_differences(store: Store) -> list[str]:
    """How an index loaded at once differs from one that followed every revision, one sentence each."""
    from graph.compare import differences  # noqa: PLC0415
    from graph.index import LineageIndex  # noqa: PLC0415

    followed, loaded = LineageIndex(store), LineageIndex(store)
    followed.replay()
    loaded.load()
    return differences(followed.view(), loaded.view())


def _days(text: str) -> float:
    days = float(text)
    if not 0 < days <= 36_500:
        raise ValueError
    return days


def _fail(code: int, sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
