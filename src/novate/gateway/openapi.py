"""The OpenAPI 3.1 document, made from the table of routes and the structs that decode requests."""

from __future__ import annotations

from typing import Any, Final

import msgspec

import novate
from novate.gateway import clearing_forms as forms
from novate.gateway import control_replies, replies, requests
from novate.gateway.routes import PARAMETERS, ROUTES, Parameter, Route
from novate.model.rejects import AMEND_PRECEDENCE, PLACE_PRECEDENCE, RANGES, REASONS

NEEDED: Final = {("mass_cancel", "client_id"), ("get_slippage", "quantity")}
"""Parameters of a query without which an endpoint answers 400."""

REQUIRED: Final = {
    "PlaceOrder": ("client_id", "side", "type"),
    "Operation": ("op",),
    "Batch": ("operations",),
    "SetPhase": ("phase",),
    "Kill": ("on",),
    "CancelAfter": ("client_id", "seconds"),
    "ScheduledBody": ("at", "phase"),
    "CreateInstrument": ("name", "base", "quote", "tick_size", "lot_size"),
    **forms.REQUIRED,
}
"""Fields that must be given, of requests: their structs have a default for each."""

ALWAYS: Final = (408, 431, 503)
"""Statuses that any call may answer with."""

MEANINGS: Final = {
    200: "Done",
    201: "Created",
    400: "Malformed or out of bounds; nothing was journaled",
    404: "Unknown",
    408: "The request did not arrive in time",
    409: "In conflict with what is",
    413: "The body is too large",
    422: "The idempotency key was used with another body, or a rule refused",
    429: "Too much; see Retry-After",
    431: "The headers are too large",
    503: "Not taken now; see Retry-After",
}

DESCRIPTION: Final = """An exchange in a box. Prices and quantities are exact decimals, given as
JSON numbers or strings. Absent and null mean the same; unknown fields are refused, and so is one
that stands twice in an object. Errors are RFC 9457 problems with a stable `code`.
Streaming and order entry over WebSocket: `/stream`."""

_REPLIES: Final = [
    value
    for value in vars(replies).values()
    if isinstance(value, type) and issubclass(value, msgspec.Struct) and value is not msgspec.Struct
]
_REQUESTS: Final[list[type[msgspec.Struct]]] = [
    requests.PlaceOrder,
    requests.CancelOrder,
    requests.AmendOrder,
    requests.Operation,
    requests.Batch,
    requests.CreateInstrument,
    requests.DistanceBody,
    requests.LimitsBody,
    requests.ScheduledBody,
    requests.SetRules,
    requests.SetPhase,
    requests.SetLimits,
    requests.Kill,
    requests.CancelAfter,
    *forms.REQUESTS,
]


def document() -> dict[str, Any]:
    """The document, as JSON's own types."""
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Novate",
            "version": novate.__version__,
            "description": DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in dict.fromkeys(route.tag for route in ROUTES)],
        "paths": paths,
        "components": {"schemas": _schemas()},
    }


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.endpoint,
        "tags": [route.tag],
        "summary": route.summary,
        "responses": _responses(route),
    }
    if route.parameters:
        listed = [_parameter(route, PARAMETERS[name]) for name in route.parameters]
        operation["parameters"] = listed
    if route.request is not None:
        media: dict[str, Any] = {"schema": _reference(route.request)}
        if route.example is not None:
            media["example"] = route.example
        operation["requestBody"] = {
            "required": route.request_required,
            "content": {"application/json": media},
        }
    return operation


def _parameter(route: Route, parameter: Parameter) -> dict[str, Any]:
    required = parameter.place == "path" or (route.endpoint, parameter.name) in NEEDED
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": required,
        "description": parameter.description,
        "schema": parameter.schema,
    }


def _responses(route: Route) -> dict[str, Any]:
    responses = {str(route.status): _success(route, route.status)}
    if route.again is not None:
        responses[str(route.again)] = _success(route, route.again)
    for status in sorted({*route.errors, *ALWAYS}):
        responses[str(status)] = _problem(route, status)
    return responses


def _success(route: Route, status: int) -> dict[str, Any]:
    content: dict[str, Any]
    if isinstance(route.reply, str):
        content = {route.reply: {"schema": {"type": "string"}}}
    elif route.reply is None:
        content = {"application/json": {"schema": {"type": "object"}}}
    else:
        content = {"application/json": {"schema": _reference(route.reply)}}
    if route.also is not None:
        content[route.also] = {"schema": {"type": "string"}}
    response: dict[str, Any] = {"description": MEANINGS[status], "content": content}
    if "Idempotency-Key" in route.parameters:
        response["headers"] = {
            "Idempotency-Replayed": {
                "description": "true: this is the first answer to the key, given again",
                "schema": {"type": "string", "enum": ["true"]},
            }
        }
    return response


def _problem(route: Route, status: int) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": _reference(replies.Problem)}}
    if status == 422 and route.rejects:
        content["application/json"] = {"schema": _reference(replies.Order)}
    if status == 503 and route.reply in (replies.Health, replies.Readiness):
        content["application/json"] = {"schema": _reference(route.reply)}
    response: dict[str, Any] = {"description": MEANINGS[status], "content": content}
    if status in (429, 503):
        response["headers"] = {
            "Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}
        }
    return response


def _reference(struct: type[msgspec.Struct]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{struct.__name__}"}


def _schemas() -> dict[str, Any]:
    template = "#/components/schemas/{name}"
    _, schemas = msgspec.json.schema_components(
        [*_REPLIES, *control_replies.REPLIES, *forms.REPLIES], ref_template=template
    )
    _, asked = msgspec.json.schema_components(_twins(), ref_template=template)
    for name, schema in asked.items():
        _require(schema, REQUIRED.get(name, ()))
    return dict(sorted({**schemas, **asked, "Reason": _reasons()}.items()))


def _reasons() -> dict[str, Any]:
    """Every reason code: its number, its owner, its status, and its place where several apply.

    `x-reasons` has for programs what the description has for people, as `docs/rejects.md`.
    """
    listed: list[dict[str, Any]] = []
    lines = ["Why an order ended or was refused, with the HTTP status of a single call."]
    for each in RANGES:
        lines.append(f"{each.first} to {each.last}, {each.owner}. {each.text}")
        for reason in (reason for reason in REASONS if each.first <= reason <= each.last):
            code, row = reason.name.lower(), REASONS[reason]
            lines.append(f"{int(reason)} {code} ({row.status}): {row.text}")
            listed.append(
                {"code": code, "number": int(reason), "owner": each.owner, "status": row.status}
            )
    place, amend = (
        [reason.name.lower() for reason in listing]
        for listing in (PLACE_PRECEDENCE, AMEND_PRECEDENCE)
    )
    lines.append(f"Of a new order the first that applies is given: {', '.join(place)}.")
    lines.append(f"Of an amendment: {', '.join(amend)}.")
    return {
        "type": "string",
        "enum": [each["code"] for each in listed],
        "description": "\n".join(lines),
        "x-reasons": listed,
        "x-precedence": {"place": place, "amend": amend},
    }


def _twins() -> list[type[msgspec.Struct]]:
    """The structs of requests with null where their default is a raw nothing."""
    twins: dict[type, Any] = {}
    for struct in _REQUESTS:
        fields: list[tuple[str, Any, Any]] = []
        for field in msgspec.structs.fields(struct):
            kind = field.type
            if struct is requests.Operation and field.name == "order":
                kind = twins[requests.PlaceOrder] | None
            if struct is requests.Batch and field.name == "operations":
                kind = list.__class_getitem__(twins[requests.Operation])
            if struct is requests.SetRules and field.name == "schedule":
                kind = list.__class_getitem__(twins[requests.ScheduledBody])
            if struct is forms.SetClearing and field.name == "fees":
                kind = list.__class_getitem__(twins[forms.FeeTierBody]) | None
            for nested in (requests.DistanceBody, requests.LimitsBody):
                if kind == nested | None:
                    kind = twins[nested] | None
            fields.append((field.encode_name, kind, None))
        twin = msgspec.defstruct(struct.__name__, fields, forbid_unknown_fields=True)
        twin.__doc__ = struct.__doc__
        twins[struct] = twin
    return list(twins.values())


def _require(schema: dict[str, Any], required: tuple[str, ...]) -> None:
    """Say what must be given, and that the rest may be null."""
    if required:
        schema["required"] = list(required)
    for name, field in schema["properties"].items():
        kinds = [each for each in field.get("anyOf", ()) if each != {"type": "null"}]
        if name in required:
            field.pop("default", None)
            if len(kinds) == 1:
                field.pop("anyOf")
                field.update(kinds[0])
            continue
        if kinds:
            field["anyOf"] = [*kinds, {"type": "null"}]
        if "enum" in field and None not in field["enum"]:
            field["enum"] = [*field["enum"], None]
