"""Write docs/openapi.json, the OpenAPI document of this version."""

from __future__ import annotations

import json
from pathlib import Path

from novate.gateway import openapi

TARGET = Path(__file__).resolve().parent.parent / "docs" / "openapi.json"


def main() -> None:
    """Make the file anew."""
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(text(), encoding="utf-8")


def text() -> str:
    """What the file holds."""
    return json.dumps(openapi.document(), indent=1) + "\n"


if __name__ == "__main__":
    main()
