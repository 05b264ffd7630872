"""How the code reads, where a linter does not say it: sizes, sleeps, names, stray addresses."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 600
LINE_CHARACTERS_MAX = 100
CODE = (".py", ".pyx", ".pxd", ".pyi")
TEXT = (*CODE, ".md", ".toml", ".txt", ".yml", ".yaml", ".json", ".js", ".html", ".css", ".sh", "")
PURE = re.compile(r"src/novate/(engine|model)/.*\.(pyx|pxd)")
# A clock, chance or I/O; what is bound to C counts as much as what Python imports.
IMPURE = re.compile(
    r"^\s*(?:from|import|cimport)\s+(libc\.time|posix|time|datetime|random|secrets|uuid|os|io"
    r"|socket|asyncio|threading|subprocess|pathlib)\b",
    re.MULTILINE,
)
# What is let through, and why that keeps the state a pure function of the commands.
ADMITTED = {
    "src/novate/engine/state.pyx": ["os"],  # seeds the hash tables, whose layout is not state
    "src/novate/model/codec.pyx": ["os"],  # new order ids, made for a command and never by one
}
FORBIDDEN_WORDS = re.compile(r"^data$|(^|_)(managers?|helpers?|utils?)$", re.IGNORECASE)
CHECKS_OFF = re.compile(r"(boundscheck|initializedcheck|nonecheck)\s*[=(]\s*False")
COMPILED_DEFINITION = re.compile(r"^( *)(?:def|cdef|cpdef)\b(?! class)[^=]*\(")


def project_files() -> list[Path]:
    """What git tracks or would: never what was made or installed here."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    paths = sorted({ROOT / name for name in listed.decode().split("\0") if name})
    return [path for path in paths if path.is_file()]


FILES = project_files()
CODE_FILES = [path for path in FILES if path.suffix in CODE]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def python_functions(text: str) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def compiled_functions(text: str) -> Iterator[tuple[str, int]]:
    """Functions of a .pyx: from the definition to the last line that is indented deeper."""
    lines = text.splitlines()
    for start, line in enumerate(lines):
        match = COMPILED_DEFINITION.match(line)
        if match is None:
            continue
        end = signature_end = _end_of_signature(lines, start)
        for number in range(signature_end + 1, len(lines)):
            if not lines[number].strip():
                continue
            if len(lines[number]) - len(lines[number].lstrip()) <= len(match[1]):
                break
            end = number
        yield line.strip(), end - start + 1


def _end_of_signature(lines: list[str], start: int) -> int:
    depth = 0
    for number in range(start, len(lines)):
        depth += lines[number].count("(") - lines[number].count(")")
        if depth <= 0:
            return number
    return start


@pytest.mark.parametrize("path", CODE_FILES, ids=name_of)
def test_functions_modules_and_lines_are_short(path):
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    assert len(lines) <= MODULE_LINES_MAX
    long = [number for number, line in enumerate(lines, 1) if len(line) > LINE_CHARACTERS_MAX]
    assert long == [], "lines that are too long"
    functions = compiled_functions if path.suffix == ".pyx" else python_functions
    if path.suffix != ".pxd":
        long_ones = [each for each in functions(text) if each[1] > FUNCTION_LINES_MAX]
        assert long_ones == []


@pytest.mark.slow
def test_most_functions_are_much_shorter():
    sources = [each for each in CODE_FILES if each.suffix == ".py" and ROOT / "src" in each.parents]
    lengths = sorted(
        length for each in sources for _, length in python_functions(each.read_text("utf-8"))
    )
    assert lengths[len(lengths) // 2] < 12
    assert lengths[len(lengths) * 9 // 10] < 32


def test_a_long_compiled_function_would_be_seen():
    body = "\n".join(["        x += 1"] * 80)
    text = f"cdef class Book:\n    cdef int walk(\n        self, int x\n    ) except -1:\n{body}\n"
    assert list(compiled_functions(text)) == [("cdef int walk(", 83)]


def test_no_test_sleeps():
    blocking, idle = "time.sleep" + "(", re.compile(r"asyncio\.sleep\((?!0\))")
    found = [
        name_of(path)
        for path in CODE_FILES
        if "tests" in path.relative_to(ROOT).parts and path.name != "conftest.py"
        if blocking in (text := path.read_text("utf-8")) or idle.search(text)
    ]
    assert found == [], "wait on a condition (tests.conftest.wait_until, wait_until_async)"


def test_the_compiled_core_knows_no_clock_chance_or_io():
    found = {
        name_of(path): IMPURE.findall(path.read_text("utf-8"))
        for path in CODE_FILES
        if PURE.fullmatch(name_of(path))
    }
    assert {name: each for name, each in found.items() if each != ADMITTED.get(name, [])} == {}


def test_no_source_takes_the_checks_out_of_the_checked_build():
    found = [
        name_of(path)
        for path in CODE_FILES
        if path.suffix in (".pyx", ".pxd") and CHECKS_OFF.search(path.read_text("utf-8"))
    ]
    assert found == [], "setup.py sets the directives"


@pytest.mark.slow
def test_names_say_what_they_mean():
    found = []
    for path in CODE_FILES:
        if ROOT / "src" not in path.parents or path.suffix not in (".py", ".pyi"):
            continue
        nodes = ast.walk(ast.parse(path.read_text("utf-8")))
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        names = [path.stem, *(node.name for node in nodes if isinstance(node, kinds))]
        words = [re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name) for name in names]
        found += [f"{name_of(path)}: {word}" for word in words if FORBIDDEN_WORDS.search(word)]
    assert found == []


def test_no_address_or_path_of_one_machine_is_in_the_project():
    hosts = ["pypi" + ".org", "files.python" + "hosted", "registry.npm" + "js"]
    paths = ["/ro" + "ot/", "/wo" + "rk/", "/ho" + "me/", "file:" + "///"]
    options = ["--extra-" + "index-url", "--find-" + "links="]
    found = []
    for path in FILES:
        if path.suffix not in TEXT:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        words = [each for each in [*hosts, *paths, *options] if each in text]
        found += [f"{name_of(path)}: {word}" for word in words]
    assert found == []
