"""Write `docs/rejects.md`: every reason code, and which one is given where several apply."""

from pathlib import Path

from novate.model.rejects import AMEND_PRECEDENCE, PLACE_PRECEDENCE, RANGES, REASONS, Reason

HEADER = """\
# Reasons

Every reason code there is, with the HTTP status of a single call: `reason` of an order, or `code`
of a problem. Made by `make rejects` from `src/novate/model/rejects.py`; `docs/matching.md` says
when each one applies. Numbers stand in journals and never change their meaning.

"""
PRECEDENCE = (
    ("A new order", PLACE_PRECEDENCE, "`POST /orders`, `place` in a batch and over WebSocket."),
    ("An amendment", AMEND_PRECEDENCE, "`PATCH /orders/{order_id}`, `amend`."),
)


def text() -> str:
    """The whole file's text."""
    parts = [HEADER, *(table(*each) for each in RANGES)]
    parts.append("## Which one is given\n\nWhere several apply, the first of these.\n\n")
    parts += [order(*each) for each in PRECEDENCE]
    return "".join(parts).rstrip() + "\n"


def table(first: int, last: int, title: str, words: str) -> str:
    """The reasons of one range."""
    rows = [
        f"| {int(reason)} | `{code(reason)}` | {row.status} | {row.text} |\n"
        for reason, row in sorted(REASONS.items())
        if first <= reason <= last
    ]
    head = f"## {first} to {last}: {title}\n\n{words}\n\n"
    return head + "| | code | HTTP | |\n|---|---|---|---|\n" + "".join(rows) + "\n"


def order(title: str, reasons: tuple[Reason, ...], words: str) -> str:
    """The reasons in the order in which they are looked for."""
    rows = [f"{place}. `{code(reason)}`\n" for place, reason in enumerate(reasons, 1)]
    return f"### {title}\n\n{words}\n\n" + "".join(rows) + "\n"


def code(reason: Reason) -> str:
    """The name that clients see."""
    return reason.name.lower()


if __name__ == "__main__":
    path = Path(__file__).resolve().parent.parent / "docs" / "rejects.md"
    path.write_text(text(), encoding="utf-8")
    print(path.name)
