"""Write postman_collection.json from the OpenAPI document: a request for every call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from novate.gateway import openapi

TARGET = Path(__file__).resolve().parent.parent / "postman_collection.json"
SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
VALUES = {
    "order_id": "order-1",
    "instrument": "BTC-USD",
    "client_id": "client-A",
    "side": "buy",
    "status": "open",
    "levels": "20",
    "limit": "50",
    "interval": "1m",
    "quantity": "0.5",
    "Idempotency-Key": "abc-123",
}
"""What stands in parameters; one that is not here is left switched off and empty."""

USED = {"levels", "client_id", "quantity"}
"""Optional parameters that are switched on."""


def main() -> None:
    """Make the file anew."""
    TARGET.write_text(text(), encoding="utf-8")


def text() -> str:
    """What the file holds."""
    return json.dumps(collection(openapi.document()), indent=1) + "\n"


def collection(document: dict[str, Any]) -> dict[str, Any]:
    """The collection: a folder for each tag."""
    folders: dict[str, list[dict[str, Any]]] = {tag["name"]: [] for tag in document["tags"]}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            folders[operation["tags"][0]].append(request_of(method, path, operation))
    return {
        "info": {
            "name": "Novate",
            "description": document["info"]["description"],
            "schema": SCHEMA,
        },
        "variable": [{"key": "url", "value": "http://127.0.0.1:8000"}],
        "item": [{"name": name, "item": items} for name, items in folders.items()],
    }


def request_of(method: str, path: str, operation: dict[str, Any]) -> dict[str, Any]:
    """One request, with its example as the body."""
    parameters = operation.get("parameters", [])
    headers = [entry(each) for each in parameters if each["in"] == "header"]
    query = [entry(each) for each in parameters if each["in"] == "query"]
    names = path.replace("{", ":").replace("}", "").strip("/").split("/")
    address: dict[str, Any] = {
        "raw": "{{url}}/" + "/".join(names),
        "host": ["{{url}}"],
        "path": names,
    }
    if query:
        address["query"] = query
    variables = [entry(each) for each in parameters if each["in"] == "path"]
    if variables:
        address["variable"] = variables
    request: dict[str, Any] = {"method": method.upper(), "header": headers, "url": address}
    if "requestBody" in operation:
        example = operation["requestBody"]["content"]["application/json"]["example"]
        headers.append({"key": "Content-Type", "value": "application/json"})
        request["body"] = {"mode": "raw", "raw": json.dumps(example, indent=2)}
    return {"name": operation["summary"], "request": request}


def entry(parameter: dict[str, Any]) -> dict[str, Any]:
    """A parameter with a value; switched off unless it is required or commonly used."""
    name = parameter["name"]
    made: dict[str, Any] = {"key": name, "value": VALUES.get(name, "")}
    made["description"] = parameter["description"]
    if not parameter["required"] and name not in USED:
        made["disabled"] = True
    return made


if __name__ == "__main__":
    main()
