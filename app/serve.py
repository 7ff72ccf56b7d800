"""Runs the service in the foreground, until a signal."""

import gc
import os
import sys

import structlog
import uvicorn

from app.agreement.agreement import PolicyUnreadable
from app.compose import compose
from app.http.server import Server, listen, patient_protocol
from app.identity import TokensUnreadable
from app.joining.rules import RulesUnreadable
from app.logs import configure_logs
from app.settings import Settings, misspelt
from graph.errors import GraphError

MAX_SOCKET_MESSAGE_BYTES = 131_072
TURN_SECONDS = 0.001
"""How long one thread may keep the interpreter when others want it: Python's 5 ms add up for what is short."""
GARBAGE = 50_000, 20, 50
"""How many new objects call for the collector: Python's 700 have it look through what stays for a third of the time."""


def tune_interpreter() -> None:
    sys.setswitchinterval(TURN_SECONDS)
    gc.set_threshold(*GARBAGE)


class CannotServe(Exception):
    """`str(error)` says what to change."""


def serve(settings: Settings) -> GraphError | None:
    """Why it had to stop; None when it was told to. Raises CannotServe."""
    configure_logs(settings.log_format, settings.log_level)
    log = structlog.get_logger("app")
    try:
        app = compose(settings)
        sockets = listen(settings.host, settings.port)
    except TokensUnreadable as error:
        raise CannotServe(f"{error}; `python -m app token create` makes one") from error
    except (RulesUnreadable, PolicyUnreadable) as error:
        raise CannotServe(str(error)) from error
    except OSError as error:
        raise CannotServe(
            f"cannot listen at {settings.host}:{settings.port} ({error.strerror}); HEADWATER_HOST and HEADWATER_PORT say where"
        ) from error
    upkeep = app.state.upkeep
    config = uvicorn.Config(
        app,
        http=patient_protocol(settings.receive_timeout_seconds),
        ws_max_size=MAX_SOCKET_MESSAGE_BYTES,
        timeout_graceful_shutdown=settings.shutdown_seconds,
        lifespan="on",
        server_header=False,
        access_log=False,
        log_config=None,
    )

    def announce(port: int) -> None:
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        line = f"Headwater listens at http://{host}:{port} · store {settings.store_redacted} · {_access(settings)}"
        log.info(line)
        for sentence in misspelt(os.environ):
            log.warning(sentence)

    def stopping() -> None:
        log.info("stopping", seconds_at_most=settings.shutdown_seconds)
        app.state.stopping.set()

    tune_interpreter()
    Server(config, started=announce, stopping=stopping, failed=lambda: upkeep.failure is not None).run(sockets)
    failure: GraphError | None = upkeep.failure
    return failure


def _access(settings: Settings) -> str:
    if settings.tokens_file is None:
        return "open to everyone on this machine: no HEADWATER_TOKENS_FILE"
    return f"tokens of {settings.tokens_file}"
