"""An answer is worked at as long as somebody waits for it: the client may leave, and the time may be up."""

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request

T = TypeVar("T")


async def while_present(request: Request, work: Coroutine[object, object, T], seconds: float) -> T:
    """What `work` gives. When the client leaves, or the time is up, it is cancelled.

    Raises ClientDisconnect and TimeoutError. Of a request with a body that has been read: nothing but the departure
    can still be received.
    """
    working, departure = asyncio.ensure_future(work), asyncio.ensure_future(_departure(request))
    try:
        done, _ = await asyncio.wait((working, departure), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        departure.cancel()
        if not working.done():
            working.cancel()
    if working in done:
        return working.result()
    if departure in done:
        raise ClientDisconnect
    raise TimeoutError


async def _departure(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
