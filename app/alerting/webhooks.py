"""Sends a message to one webhook, signed as Standard Webhooks say, and to no address that is not meant to be reached."""

import asyncio
import base64
import hashlib
import hmac
import socket
from collections.abc import Awaitable, Callable, Sequence
from email.utils import parsedate_to_datetime
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias

import httpx
import orjson

from app.alerting.outbox import Delivered, Failed, Outcome
from graph.messages import Message
from graph.time import SECOND, Instant

SECONDS = 5.0
"""For a whole attempt: name, connection, answer."""
MOST_REPLY_BYTES = 65_536

_NAT64 = IPv6Network("64:ff9b::/96")
_UNICAST = IPv6Network("2000::/3")

Address: TypeAlias = IPv4Address | IPv6Address
Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host, as texts. Raises OSError."""


class AddressRefused(Exception):
    pass


def signature(key: bytes, id: str, timestamp: int, body: bytes) -> str:
    digest = hmac.digest(key, f"{id}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


def is_public(address: Address) -> bool:
    """Whether it is anybody's to reach, whatever form of IPv6 an IPv4 address is wrapped in."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address in _NAT64:
            return is_public(IPv4Address(address.packed[-4:]))
        if address not in _UNICAST or address.sixtofour is not None or address.teredo is not None:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


class Webhook:
    """`send` is told the message and the time; each attempt resolves, checks and connects anew.

    `internal`: its address need not be public. That such a URL speaks https at port 443 is the settings' matter.
    """

    def __init__(self, url: str, key: bytes, internal: bool, resolve: Resolve | None = None) -> None:
        self._url = httpx.URL(url)
        self._key = key
        self._internal = internal
        self._resolve = resolve or _resolve
        self._tls = httpx.create_ssl_context()  # takes a while; SSL_CERT_FILE may name other authorities

    async def send(self, message: Message, now: Instant) -> Outcome:
        content = orjson.dumps({"type": message.topic, **_object(message)})
        timestamp = now // SECOND
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Headwater",
            "Host": self._url.netloc.decode(),
            "webhook-id": message.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(self._key, message.id, timestamp, content),
        }
        try:
            async with asyncio.timeout(SECONDS):
                address = await self._checked_address()
                return await self._post(address, content, headers, now)
        except TimeoutError:
            return Failed(f"no answer within {SECONDS:g} s")
        except (OSError, UnicodeError, httpx.HTTPError, AddressRefused) as error:
            return Failed(f"{type(error).__name__}: {error}")

    async def _checked_address(self) -> Address:
        """The first of the host's addresses, if all of them may be reached: no later answer of a name server counts."""
        host = self._url.host
        port = self._url.port or (443 if self._url.scheme == "https" else 80)
        found = [ip_address(text.partition("%")[0]) for text in await self._resolve(host, port)]
        if not found:
            raise AddressRefused(f"{host} has no address")
        for address in found:
            if not self._internal and not is_public(address):
                raise AddressRefused(f"{host} is at {address}, which is not a public address")
        return found[0]

    async def _post(self, address: Address, content: bytes, headers: dict[str, str], now: Instant) -> Outcome:
        # The address in the URL, the name in the Host header and the TLS handshake: nothing resolves it again.
        pinned = self._url.copy_with(host=str(address))
        async with (
            httpx.AsyncClient(verify=self._tls, trust_env=False, follow_redirects=False, timeout=SECONDS) as client,
            client.stream(
                "POST", pinned, content=content, headers=headers, extensions={"sni_hostname": self._url.host}
            ) as reply,
        ):
            read = 0
            async for chunk in reply.aiter_raw():
                read += len(chunk)
                if read > MOST_REPLY_BYTES:
                    break
            if reply.is_success:
                return Delivered()
            status = reply.status_code
            return Failed(f"answered {status}", status == 410, _retry_after(reply.headers.get("Retry-After"), now))


def _object(message: Message) -> dict[str, object]:
    return dict(message.body) if isinstance(message.body, dict) else {"data": message.body}


async def _resolve(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


def _retry_after(value: str | None, now: Instant) -> float | None:
    """Seconds, given as such or as a date; None for neither."""
    if value is None:
        return None
    if value.isascii() and value.strip().isdigit():
        return float(value)
    try:
        return max(parsedate_to_datetime(value).timestamp() - now / SECOND, 0.0)
    except (ValueError, TypeError, OverflowError):
        return None
