"""Messages reach the webhook at least once, signed, with one id, and nothing reaches an address that is not meant."""

import base64
import hashlib
import hmac
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from ipaddress import ip_address
from pathlib import Path

import pytest

from app.alerting import webhooks
from app.alerting.outbox import MOST_ATTEMPTS, Delivered, Failed, Outbox, pause_seconds
from app.alerting.webhooks import Webhook, is_public, signature
from app.metrics import Metrics
from app.service import Headwater
from graph.index import LineageIndex
from graph.messages import Message
from graph.stores.sqlite import SqliteStore
from tests.receiver import Answer, Receiver, receiving

pytestmark = pytest.mark.anyio

KEY = bytes(range(32))
NOW = 1_700_000_000_000_000
SECOND = 1_000_000
MESSAGE = Message("11111111-2222-3333-4444-555555555555", "alert.raised", {"timestamp": "t", "data": {"id": "alert:x"}})


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def resolving(*answers: str) -> Callable[[str, int], Awaitable[Sequence[str]]]:
    """Each attempt gets the next answer: addresses, separated by spaces."""
    left = list(answers)

    async def resolve(host: str, port: int) -> Sequence[str]:
        return left.pop(0).split()

    return resolve


async def test_a_message_is_signed_as_standard_webhooks_say(receiver: Receiver) -> None:
    assert await Webhook(receiver.url, KEY, internal=True).send(MESSAGE, NOW) == Delivered()
    (told,) = receiver.received
    assert told.path == "/hook"
    assert told.json == {"type": "alert.raised", "timestamp": "t", "data": {"id": "alert:x"}}
    assert told.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert (told.headers["webhook-id"], told.headers["webhook-timestamp"]) == (MESSAGE.id, "1700000000")
    signed = f"{MESSAGE.id}.1700000000.".encode() + told.body
    expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert told.headers["webhook-signature"] == f"v1,{expected}"


async def test_the_signature_of_the_specifications_example() -> None:
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


INTERNAL = (
    *("127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
    *("198.18.0.1", "192.0.2.7", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
    *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::7", "fec0::1", "ff02::1", "2001:db8::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1"),
    *("2002:7f00:1::1", "2002:a9fe:a9fe::1", "2001:0:7f00:1::1"),
    *("93.184.216.34 127.0.0.1", "2606:2800:220:1::1 ::1"),
)


@pytest.mark.parametrize("addresses", INTERNAL)
async def test_an_internal_address_is_refused_however_it_is_written(receiver: Receiver, addresses: str) -> None:
    url = f"http://hooks.example:{receiver.port}/hook"
    outcome = await Webhook(url, KEY, internal=False, resolve=resolving(addresses)).send(MESSAGE, NOW)
    assert isinstance(outcome, Failed)
    assert "which is not a public address" in outcome.reason
    assert not outcome.final, "names may come to resolve better"
    assert receiver.received == []


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.1", "127.1", "[::1]", "localhost"])
async def test_an_internal_address_in_the_url_is_refused_too(receiver: Receiver, host: str) -> None:
    outcome = await Webhook(f"http://{host}:{receiver.port}/hook", KEY, internal=False).send(MESSAGE, NOW)
    assert isinstance(outcome, Failed)
    assert receiver.received == []


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:8.8.8.8", "64:ff9b::808:808"])
async def test_a_public_address_is_not_refused(address: str) -> None:
    assert is_public(ip_address(address))


async def test_a_name_is_resolved_once_and_exactly_that_address_is_connected_to(receiver: Receiver) -> None:
    url = f"http://rebinding.invalid:{receiver.port}/hook"
    webhook = Webhook(url, KEY, internal=True, resolve=resolving("127.0.0.1"))
    assert await webhook.send(MESSAGE, NOW) == Delivered()
    assert receiver.received[0].headers["host"] == f"rebinding.invalid:{receiver.port}"
    rebinding = Webhook(url, KEY, internal=False, resolve=resolving("93.184.216.34 127.0.0.1", "127.0.0.1"))
    for _ in range(2):  # every attempt checks anew
        assert isinstance(await rebinding.send(MESSAGE, NOW), Failed)
    assert len(receiver.received) == 1


async def test_the_tls_handshake_names_the_host_not_the_address() -> None:
    hello: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            client, _ = listener.accept()
            with client:
                hello.append(client.recv(4096))

        thread = threading.Thread(target=accept)
        thread.start()
        port = listener.getsockname()[1]
        webhook = Webhook(f"https://hooks.invalid:{port}/", KEY, internal=True, resolve=resolving("127.0.0.1"))
        assert isinstance(await webhook.send(MESSAGE, NOW), Failed)
        thread.join()
    assert b"hooks.invalid" in hello[0]


async def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    with receiving() as secret:
        receiver.answers = [Answer(status, {"Location": secret.url}) for status in (301, 302, 307, 308)]
        webhook = Webhook(receiver.url, KEY, internal=True)
        for status in (301, 302, 307, 308):
            assert await webhook.send(MESSAGE, NOW) == Failed(f"answered {status}")
        assert secret.received == []


async def test_a_receiver_that_never_answers_costs_no_more_than_the_time_given(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "SECONDS", 0.3)
    receiver.silent.set()
    assert await Webhook(receiver.url, KEY, internal=True).send(MESSAGE, NOW) == Failed("no answer within 0.3 s")


async def test_of_a_long_reply_no_more_is_read_than_64_kib(receiver: Receiver) -> None:
    receiver.answers = [Answer(200, {"Content-Length": "100000000"}, b"x" * 100_000)]
    assert await Webhook(receiver.url, KEY, internal=True).send(MESSAGE, NOW) == Delivered()


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Answer(410), Failed("answered 410", final=True)),
        (Answer(429, {"Retry-After": "90"}), Failed("answered 429", wait_seconds=90)),
        (Answer(503, {"Retry-After": "Tue, 14 Nov 2023 22:15:20 GMT"}), Failed("answered 503", wait_seconds=120)),
        (Answer(500, {"Retry-After": "soon"}), Failed("answered 500")),
        (Answer(500, {"Retry-After": "²"}), Failed("answered 500")),
        (Answer(404), Failed("answered 404")),
    ],
)
async def test_what_a_receiver_answers_decides_what_follows(
    receiver: Receiver, answer: Answer, outcome: Failed
) -> None:
    receiver.answers = [answer]
    assert await Webhook(receiver.url, KEY, internal=True).send(MESSAGE, NOW) == outcome


# The outbox

COMMIT = """
import os, pathlib, signal, sys
from graph.changes import AssetStatement, Registration
from graph.keys import AssetKey
from graph.messages import Message
from graph.model import Basis, Operation
from graph.plan import register
from graph.stores.sqlite import SqliteStore

message = Message("11111111-2222-3333-4444-555555555555", "alert.raised", {"timestamp": "t", "data": {"id": "alert:x"}})
statement = AssetStatement(AssetKey.parse("alert:default/x"), {"state": "OPEN"})
wanted = Registration("monitoring", Basis.OBSERVED, (statement,), messages=(message,))
register(SqliteStore(pathlib.Path(sys.argv[1])), wanted, Operation(None, "digest", "monitoring"), int(sys.argv[2]))
os.kill(os.getpid(), signal.SIGKILL)
"""


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def left_behind(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a process that committed a message, and was killed before it could send anything."""
    folder = tmp_path_factory.mktemp("killed")
    command = [sys.executable, "-c", COMMIT, str(folder / "lineage.db"), str(NOW)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGKILL
    return folder


@pytest.fixture
def store(tmp_path: Path, left_behind: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(shutil.copytree(left_behind, tmp_path / "store") / "lineage.db")
    yield store
    store.close()


def outbox_of(receiver: Receiver, store: SqliteStore, clock: Clock) -> tuple[Outbox, Headwater, Metrics]:
    metrics = Metrics()
    webhook = Webhook(receiver.url, KEY, internal=True)
    return Outbox(webhook.send, lambda: 0.5, metrics), Headwater(store, LineageIndex(store), clock), metrics


def counted(metrics: Metrics, outcome: str) -> float | None:
    return metrics.registry.get_sample_value("headwater_messages_total", {"outcome": outcome})


async def test_a_message_survives_kill_9_and_is_delivered_by_another_process_once(
    receiver: Receiver, store: SqliteStore, clock: Clock
) -> None:
    outbox, headwater, metrics = outbox_of(receiver, store, clock)
    assert await outbox.deliver_due(headwater) == 1
    assert await outbox.deliver_due(headwater) == 0
    clock.now += 7 * 24 * 3600 * SECOND
    assert await outbox.deliver_due(headwater) == 0
    assert [told.headers["webhook-id"] for told in receiver.received] == [MESSAGE.id]
    assert counted(metrics, "delivered") == 1
    assert metrics.registry.get_sample_value("headwater_messages_waiting") == 0


async def test_a_stop_between_sending_and_noting_it_sends_again_with_the_same_id(
    receiver: Receiver, store: SqliteStore, clock: Clock
) -> None:
    _, headwater, _ = outbox_of(receiver, store, clock)
    (delivery,) = await headwater.in_thread(store.lease, NOW, NOW + 60 * SECOND)
    await Webhook(receiver.url, KEY, internal=True).send(delivery.message, NOW)  # and then nothing more
    outbox, headwater, _ = outbox_of(receiver, store, clock)
    assert await outbox.deliver_due(headwater) == 0, "it may still be under way"
    clock.now += 60 * SECOND
    assert await outbox.deliver_due(headwater) == 1
    assert [told.headers["webhook-id"] for told in receiver.received] == [MESSAGE.id] * 2


async def test_what_failed_is_tried_again_later_and_later(receiver: Receiver, store: SqliteStore, clock: Clock) -> None:
    outbox, headwater, metrics = outbox_of(receiver, store, clock)
    receiver.answers = [Answer(500), Answer(429, {"Retry-After": "600"}), Answer(500)]
    for wait in (0, 5, 600, 20):
        clock.now += max(wait - 1, 0) * SECOND
        assert wait == 0 or await outbox.deliver_due(headwater) == 0
        clock.now += SECOND
        assert await outbox.deliver_due(headwater) == 1
    assert len(receiver.received) == 4
    timestamps = {told.headers["webhook-timestamp"] for told in receiver.received}
    assert len(timestamps) == 4, "each attempt is signed with its own time"
    assert (counted(metrics, "postponed"), counted(metrics, "delivered")) == (3, 1)


async def test_a_receiver_that_is_gone_is_asked_once(receiver: Receiver, store: SqliteStore, clock: Clock) -> None:
    outbox, headwater, metrics = outbox_of(receiver, store, clock)
    receiver.answers = [Answer(410)]
    assert await outbox.deliver_due(headwater) == 1
    clock.now += 7 * 24 * 3600 * SECOND
    assert await outbox.deliver_due(headwater) == 0
    assert counted(metrics, "given_up") == 1
    assert metrics.registry.get_sample_value("headwater_messages_waiting") == 0


async def test_a_message_is_given_up_after_about_three_days(
    receiver: Receiver, store: SqliteStore, clock: Clock
) -> None:
    outbox, headwater, metrics = outbox_of(receiver, store, clock)
    receiver.answers = [Answer(500)] * MOST_ATTEMPTS
    while counted(metrics, "given_up") == 0:
        clock.now += 3600 * SECOND
        assert await outbox.deliver_due(headwater) == 1
    assert len(receiver.received) == MOST_ATTEMPTS
    days = sum(pause_seconds(attempts, 0.5) for attempts in range(MOST_ATTEMPTS - 1)) / 86_400
    assert 2.9 < days < 3.2
