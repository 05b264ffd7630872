"""The page at /docs: the OpenAPI document for people, without scripts, nothing from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import Any, Final

_STYLE: Final = """
:root{color-scheme:light dark;--line:#8884;--soft:#8882}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{margin-bottom:0}h2{margin-top:2.5rem;text-transform:capitalize}
details{border:1px solid var(--line);border-radius:.4rem;margin:.5rem 0;padding:.4rem .8rem}
summary{cursor:pointer}code,pre{font-family:ui-monospace,monospace;font-size:.9em}
pre{background:var(--soft);padding:.7rem;border-radius:.4rem;overflow:auto}
.method{display:inline-block;min-width:4.5rem;font-weight:700}
table{border-collapse:collapse;width:100%}
td,th{border-bottom:1px solid var(--line);padding:.25rem .5rem;text-align:left;vertical-align:top}
"""


def page(document: dict[str, Any]) -> bytes:
    """The whole page."""
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Novate API</title>',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<style>{_STYLE}</style></head><body><h1>Novate API</h1>",
        f"<p>Version {escape(document['info']['version'])}, ",
        '<a href="/openapi.json">openapi.json</a></p>',
        f"<p>{_prose(document['info']['description'])}</p>",
    ]
    for tag in document["tags"]:
        parts.append(f"<h2>{escape(tag['name'])}</h2>")
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                if tag["name"] in operation["tags"]:
                    parts.append(_operation(method, path, operation))
    parts.append("<h2>Schemas</h2>")
    for name, schema in document["components"]["schemas"].items():
        parts.append(_schema(name, schema))
    parts.append("</body></html>\n")
    return "".join(parts).encode()


def _prose(text: str) -> str:
    pieces = escape(text).split("`")
    return "".join(f"<code>{each}</code>" if i % 2 else each for i, each in enumerate(pieces))


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    parts = [
        f'<details id="{escape(operation["operationId"])}"><summary>',
        f'<span class="method">{method.upper()}</span><code>{escape(path)}</code> ',
        f"{escape(operation['summary'])}</summary>",
    ]
    rows = [
        (each["name"], each["in"] + (", required" if each["required"] else ""),
         each["description"])
        for each in operation.get("parameters", ())
    ]  # fmt: skip
    parts.append(_table(("parameter", "in", ""), rows))
    body = operation.get("requestBody")
    if body:
        media = body["content"]["application/json"]
        needed = "" if body["required"] else " (optional)"
        parts.append(f"<p>Body{needed}: {_kind(media['schema'])}</p>")
        if "example" in media:
            parts.append(_curl(method, path, media["example"]))
    elif method in ("get", "delete", "post"):
        parts.append(_curl(method, path, None))
    answers = []
    for status, response in operation["responses"].items():
        kinds = " or ".join(
            f"{_kind(media['schema'])} <small>{escape(name)}</small>"
            for name, media in response["content"].items()
        )
        answers.append(f"<tr><td>{status}</td><td>{escape(response['description'])}</td>")
        answers.append(f"<td>{kinds}</td></tr>")
    parts.append(f"<table><tr><th>status</th><th></th><th></th></tr>{''.join(answers)}</table>")
    return "".join(parts) + "</details>"


def _curl(method: str, path: str, example: Any) -> str:
    command = f"curl -X {method.upper()} 'http://127.0.0.1:8000{path}'"
    if example is not None:
        command += f" \\\n  -d '{json.dumps(example, indent=1)}'"
    return f"<pre>{escape(command)}</pre>"


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{escape(each)}</th>" for each in heads)
    lines = ("<tr>" + "".join(f"<td>{_prose(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{''.join(lines)}</table>"


def _kind(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rsplit("/", 1)[1])
        return f'<a href="#{name}">{name}</a>'
    if schema.get("enum"):
        return " | ".join(escape(json.dumps(each)) for each in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(_kind(each) for each in schema["anyOf"])
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return escape(" | ".join(kind) if isinstance(kind, list) else kind)


def _schema(name: str, schema: dict[str, Any]) -> str:
    required = schema.get("required", ())
    rows = "".join(
        f"<tr><td><code>{escape(field)}</code>{' *' if field in required else ''}</td>"
        f"<td>{_kind(each)}</td><td>{_prose(each.get('description', ''))}</td></tr>"
        for field, each in schema.get("properties", {}).items()
    )
    return (
        f'<details id="{escape(name)}"><summary><code>{escape(name)}</code> '
        f"{_prose(schema.get('description', ''))}</summary><table>{rows}</table></details>"
    )
