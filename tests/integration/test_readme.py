"""README says nothing that is not so: its commands are run, in order, on a real server."""

import json
import re
from collections.abc import Callable

import pytest

from novate.gateway.routes import ROUTES
from scripts import fill_readme
from tests.conftest import ROOT, Server

pytestmark = pytest.mark.slow

TEXT = (ROOT / "README.md").read_text()


def test_every_command_answers_as_the_readme_says(server: Server) -> None:
    address = server.url.removeprefix("http://")
    requests = fill_readme.all_requests(TEXT)
    assert len(requests) > 25
    for request in requests:
        status, body = fill_readme.run(request, address)
        assert request.answered_as_said(status), f"{status} from {request.command}: {body}"


def test_every_reply_has_the_members_that_the_readme_shows(
    make_server: Callable[..., Server],
) -> None:
    server = make_server().start()
    address = server.url.removeprefix("http://")
    fill_readme.wait_for_follower(address)
    filled = fill_readme.fill(TEXT, address)
    replies = re.compile(r"```json\n(\{.*?)```\n", re.DOTALL)
    shown, now = replies.findall(TEXT), replies.findall(filled)
    assert len(shown) == len(now)
    for before, after in zip(shown, now, strict=True):
        if before != after:
            assert members(json.loads(before)) == members(json.loads(after))


def members(value: object) -> object:
    """The shape of a JSON value: the names in it, at every depth."""
    if isinstance(value, dict):
        return {name: members(each) for name, each in value.items()}
    if isinstance(value, list):
        return [members(each) for each in value[:1]]
    return None


def test_every_call_of_the_interface_is_in_the_readme() -> None:
    asked = [request.command for request in fill_readme.all_requests(TEXT)]
    missing = [
        f"{route.method} {route.path}"
        for route in ROUTES
        if not any(is_call(command, route.method, route.path) for command in asked)
    ]
    assert not missing


def is_call(command: str, method: str, path: str) -> bool:
    """Whether a curl command is a call of this route."""
    named = re.search(r"-X (\w+)", command)
    used = named[1] if named else "POST" if " -d " in command else "GET"
    address = re.search(r"localhost:8000([^\s'?]*)", command)
    pattern = re.sub(r"\{\w+\}", "[^/]+", path)
    fixed = {route.path for route in ROUTES}
    if address is None or used != method:
        return False
    return address[1] == path or (
        address[1] not in fixed and re.fullmatch(pattern, address[1]) is not None
    )
