"""The web application: routes, and what every request passes through on its way to them."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from app.features.sources import FOLDER as SOURCES
from app.graphql.endpoint import GraphQLEndpoint
from app.graphql.schema import schema
from app.hosting import Hosting
from app.http import exports
from app.http.answers import refusal
from app.http.authentication import GRAPHQL_PATH, Authentication, access_refused, graphql_context, identify_socket
from app.http.bodies import BodyLimit
from app.http.headers import SecurityHeaders
from app.http.health import health_routes
from app.http.pages import GRAPHIQL, page_routes
from app.http.requests import Requests
from app.http.schemas import schema_routes
from app.http.streams import Streams
from app.identity import AccessRefused, Tokens
from app.intake.bulk import PATH as BULK
from app.intake.imports import FOLDER as IMPORTS
from app.intake.openlineage import PATHS as LINEAGE
from app.intake.traces import MAX_BYTES as TRACE_BYTES
from app.intake.traces import PATH as TRACES
from app.metrics import Metrics
from app.rooms import Rooms
from app.serving.artifacts import FOLDER as ARTIFACTS
from app.settings import Settings

Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]


def create_app(
    hosting: Hosting,
    tokens: Tokens,
    settings: Settings,
    rooms: Rooms,
    metrics: Metrics | None = None,
    lifespan: Lifespan | None = None,
) -> Starlette:
    """`app.state.stopping`, an asyncio.Event, ends the streams of events once it is set."""
    metrics = metrics or Metrics()
    stopping = asyncio.Event()
    graphql = GraphQLEndpoint(
        schema,
        context_getter=graphql_context,
        graphiql=GRAPHIQL,
        on_connect=identify_socket(tokens),
        allowed_origins=settings.allowed_origins,
        timeout=timedelta(seconds=settings.request_timeout_seconds),
    )
    routes: list[BaseRoute] = [
        *health_routes(hosting, metrics),
        *page_routes(),
        *schema_routes(),
        Route(GRAPHQL_PATH, graphql),
        WebSocketRoute(GRAPHQL_PATH, graphql),
        *exports.routes(settings.request_timeout_seconds),
        *rooms.routes(),
    ]
    middleware = [
        Middleware(SecurityHeaders),
        Middleware(Requests, metrics),
        *_cross_origin(settings),
        Middleware(
            BodyLimit,
            settings.max_body_bytes,
            {
                GRAPHQL_PATH: settings.max_graphql_bytes,
                ARTIFACTS: settings.max_artifact_bytes,
                SOURCES: settings.max_artifact_bytes,
                BULK: settings.max_bulk_bytes,
                IMPORTS: settings.max_import_bytes,
                **dict.fromkeys(LINEAGE, settings.max_import_bytes),
                TRACES: max(TRACE_BYTES, settings.max_body_bytes),
            },
        ),
        Middleware(Streams, stopping),
        Middleware(Authentication, tokens, hosting, settings.allowed_origins),
    ]
    app = Starlette(
        routes=routes,
        middleware=middleware,
        exception_handlers={
            HTTPException: _http_exception,
            AccessRefused: _access_refused,
            ClientDisconnect: _client_gone,
        },
        lifespan=lifespan,
    )
    app.state.stopping = stopping
    app.state.rooms = rooms
    return app


def _cross_origin(settings: Settings) -> list[Middleware]:
    if not settings.allowed_origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=settings.allowed_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-Request-Id", "traceparent"],
            expose_headers=["X-Request-Id", "Retry-After"],
        )
    ]


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return refusal(404, f"there is nothing at {request.url.path[:200]}", "NOT_FOUND")
    return refusal(error.status_code, error.detail, error.detail.upper().replace(" ", "_"), error.headers)


async def _access_refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, AccessRefused)
    return access_refused(error)


async def _client_gone(_: Request, __: Exception) -> Response:
    return Response(status_code=400)  # nobody reads it
