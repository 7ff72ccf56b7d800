"""Streams of events never end by themselves, so a server that stops must end them: each client connects anew elsewhere."""

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

EVENT_STREAM = "text/event-stream"


class Streams:
    """Ends every answer of type `text/event-stream`, properly, once `stopping` is set."""

    def __init__(self, app: ASGIApp, stopping: asyncio.Event) -> None:
        self._app = app
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or EVENT_STREAM not in Headers(scope=scope).get("accept", ""):
            await self._app(scope, receive, send)
            return
        streams = asyncio.Event()
        ended = False

        async def send_noting(message: Message) -> None:
            nonlocal ended
            if message["type"] == "http.response.start":
                if Headers(raw=message["headers"]).get("content-type", "").startswith(EVENT_STREAM):
                    streams.set()
            else:
                ended = not message.get("more_body", False)
            await send(message)

        async def stop() -> Message:
            await streams.wait()
            await self._stopping.wait()
            return {"type": "http.disconnect"}

        async def receive_or_stop() -> Message:
            """To what makes the stream, the end of the service looks as if the client had left."""
            waiting = {asyncio.ensure_future(receive()), asyncio.ensure_future(stop())}
            try:
                done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in waiting:
                    each.cancel()
            return done.pop().result()

        await self._app(scope, receive_or_stop, send_noting)
        if streams.is_set() and not ended and self._stopping.is_set():
            await send({"type": "http.response.body", "body": b"", "more_body": False})
