"""Writes the last figures into the documents, so that no number is typed by hand.

    python -m bench.table            writes README.md and docs/load-report.md, as a bench does
    python -m bench.table --check    exit 1 if they are not what the results say
The text between `<!-- figures -->` and `<!-- /figures -->` is replaced, and likewise `machine`.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from bench.machine import ROOT

LATEST = ROOT / "bench" / "results" / "latest.json"
DOCUMENTS = (ROOT / "README.md", ROOT / "docs" / "load-report.md")


def main() -> int:
    """Write the documents, or check them; exit code 1 where one differs."""
    if "--check" not in sys.argv:
        write()
        return 0
    names = [document.name for document in stale()]
    print(f"stale: {', '.join(names) or 'nothing'}")
    return 1 if names else 0


def write() -> None:
    """Put the last figures into the documents."""
    for document, text in stale().items():
        document.write_text(text)


def stale() -> dict[Path, str]:
    """The documents that are not what the last results say, with what they should be."""
    results = json.loads(LATEST.read_text())
    made = {document: fill(document.read_text(), results) for document in DOCUMENTS}
    return {document: text for document, text in made.items() if document.read_text() != text}


def fill(text: str, results: dict[str, Any]) -> str:
    """The document with its marked parts made from these results."""
    parts = {"figures": figures_table(results), "machine": machine_lines(results)}
    for name, body in parts.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        text = pattern.sub(lambda found, body=body: f"{found[1]}{body}{found[2]}", text)
    return text


def figures_table(results: dict[str, Any]) -> str:
    """A Markdown table: what, the target, the figure, of how many runs, whether it is met."""
    lines = ["| what | target | measured | runs | |", "|---|---|---|---|---|"]
    for row in results["rows"].values():
        said = row.get("said", "failed to run")
        met = "met" if row["met"] else "not met"
        runs = len(row.get("runs", ()))
        lines.append(f"| {row['title']} | {row['target']} | {said} | {runs} | {met} |")
    return "\n".join(lines) + "\n"


def machine_lines(results: dict[str, Any]) -> str:
    """One paragraph: the machine, the versions, the build, the commits and when."""
    machine, rows = results["machine"], results["rows"].values()
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    commits = ", ".join(dict.fromkeys(f"`{row['commit']}`" for row in rows))
    build = machine.get("build")  # of results that are older than it: none
    made = (
        f"{build['kind'].title()} build, {build['compiler']}, `{build['flags']}`. " if build else ""
    )
    loads = [row["load_before"] for row in rows]
    return (
        f"{machine['processor']}, {machine['cores']} cores (shared with the load generator), "
        f"{machine['memory_gib']:g} GiB, {machine['file_system']}, {machine['system']}, "
        f"Python {machine['python']}; {versions}. {made}Commit {commits}; "
        f"{min(row['began'] for row in rows)} to {max(row['began'] for row in rows)}. Load average "
        f"of the machine before a row: {min(loads):g} to {max(loads):g}.\n"
    )


if __name__ == "__main__":
    sys.exit(main())
