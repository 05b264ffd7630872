"""The documents that others build on say what the program says."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema_rs
import pytest
import typer

from novate import cli
from novate.gateway import docs, openapi
from novate.gateway.requests import decode_amend, decode_batch, decode_cancel, decode_place
from novate.gateway.routes import ROUTES
from novate.model.rejects import Reason
from tests.conftest import ROOT


def script(name: str) -> ModuleType:
    path = ROOT / "scripts" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return openapi.document()


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("make_openapi", "docs/openapi.json"),
        ("make_postman", "postman_collection.json"),
        ("make_rejects", "docs/rejects.md"),
    ],
)
def test_the_file_in_the_tree_is_what_the_script_makes(name: str, path: str):
    found = (ROOT / Path(path)).read_text(encoding="utf-8")
    assert found == script(name).text(), f"run scripts/{name}.py"


def test_every_route_is_a_request_of_the_collection():
    text = script("make_postman").text()
    folders = json.loads(text)["item"]
    assert sum(len(folder["item"]) for folder in folders) == len(ROUTES)


def test_references_lead_somewhere_and_ids_are_unique(document: dict[str, Any]):
    text = json.dumps(document)
    names = document["components"]["schemas"]
    for reference in set(text.split('"#/components/schemas/')[1:]):
        assert reference.split('"')[0] in names
    ids = [each["operationId"] for path in document["paths"].values() for each in path.values()]
    assert len(ids) == len(set(ids)) == len(ROUTES)


def test_every_schema_is_a_json_schema(document: dict[str, Any]):
    for name in document["components"]["schemas"]:
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        jsonschema_rs.Draft202012Validator(schema)


def test_examples_are_taken_by_schema_and_by_decoder(document: dict[str, Any]):
    decoders = {
        "place_order": decode_place, "batch": decode_batch, "cancel_order": decode_cancel,
        "amend_order": decode_amend,
    }  # fmt: skip
    for route in ROUTES:
        if route.request is None:
            continue
        schema = {
            "$ref": f"#/components/schemas/{route.request.__name__}",
            "components": document["components"],
        }
        jsonschema_rs.Draft202012Validator(schema).validate(route.example)
        if route.endpoint in decoders:
            decoders[route.endpoint](json.dumps(route.example).encode())


def test_reasons_are_referred_to_and_stand_as_in_their_document(document: dict[str, Any]):
    schemas = document["components"]["schemas"]
    for struct, member in (("Order", "reason"), ("OrderEvent", "reason"), ("Problem", "code")):
        assert {"$ref": "#/components/schemas/Reason"} in schemas[struct]["properties"][member][
            "anyOf"
        ]
        assert member in schemas[struct]["required"]
    reasons = schemas["Reason"]
    text = (ROOT / "docs" / "rejects.md").read_text(encoding="utf-8")
    rows, owner, listings = [], "", []
    for line in text.splitlines():
        if match := re.fullmatch(r"## \d+ to \d+: (.*)", line):
            owner = match[1]
        elif line.startswith("### "):
            listings.append([])
        elif match := re.fullmatch(r"\| (\d+) \| `(\w+)` \| (\d+) \| .* \|", line):
            number, code, status = match.groups()
            rows.append(
                {"code": code, "number": int(number), "owner": owner, "status": int(status)}
            )
        elif match := re.fullmatch(r"\d+\. `(\w+)`", line):
            listings[-1].append(match[1])
    assert reasons["x-reasons"] == rows
    assert reasons["enum"] == [each["code"] for each in rows]
    assert reasons["x-precedence"] == dict(zip(("place", "amend"), listings, strict=True))
    assert {each.name.lower() for each in Reason} - {"none"} == set(reasons["enum"])


def test_the_page_names_every_call_and_escapes(document: dict[str, Any]):
    page = docs.page({**document, "info": {"version": "<1>", "description": "`<b>`"}}).decode()
    assert "<1>" not in page
    assert "<code>&lt;b&gt;</code>" in page
    assert page.count('class="method"') == len(ROUTES)


def test_every_verb_is_in_the_readme():
    verbs = set(typer.main.get_command(cli.app).commands)  # type: ignore[attr-defined]
    named = set(re.findall(r"`novate ([a-z-]+)", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert len(verbs) > 10
    assert named == verbs


def test_every_module_at_the_top_is_in_the_tree_of_architecture_md():
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    tree = text[text.index("## The tree") :]
    found = {each.name for each in (ROOT / "src" / "novate").glob("*.py")}
    found |= {f"{each.parent.name}/" for each in (ROOT / "src" / "novate").glob("*/__init__.py")}
    assert len(found) > 30
    assert [each for each in sorted(found) if each not in tree and "__" not in each] == []


def test_links_in_the_documents_lead_somewhere():
    found = 0
    for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "tests" / "README.md"):
        for link in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
            if link.startswith("http"):
                continue
            name, _, anchor = link.partition("#")
            target = page.parent / name if name else page
            assert target.exists(), f"{page.name}: {link}"
            if anchor:
                heads = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
                anchors = [re.sub(r"[^\w\- ]", "", each.lower()) for each in heads]
                assert anchor in [each.strip().replace(" ", "-") for each in anchors], link
            found += 1
    assert found > 30
