"""The OpenAPI document, and a page that shows it."""

from starlette.requests import Request
from starlette.responses import Response

from airq.api.openapi import document
from airq.api.parameters import read_parameters
from airq.api.representations import encode_json


async def openapi(request: Request) -> Response:
    """Answer with the OpenAPI document."""
    read_parameters(request.scope["query_string"], ())
    return Response(
        encode_json(document()),
        headers={"content-type": "application/json", "cache-control": "public, max-age=300"},
    )


async def page(request: Request) -> Response:
    """Answer with the documentation for people."""
    read_parameters(request.scope["query_string"], ())
    return Response("<!doctype html><title>airq</title>", media_type="text/html")
