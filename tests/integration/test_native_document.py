"""`docs/native.md`: its programs are built against an installed copy, and do what it says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import novate
from tests.conftest import ROOT

DOCUMENT = (ROOT / "docs" / "native.md").read_text(encoding="utf-8")
SECONDS_MAX = 250


def block(language: str, begins: str = "") -> str:
    """The one block of this language that begins so."""
    blocks = re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)
    (found,) = (each for each in blocks if each.startswith(begins))
    return str(found)


def run(where: Path, *command: str, path: Path) -> str:
    environment = os.environ | {"PYTHONPATH": str(path)}
    done = subprocess.run(
        command, cwd=where, env=environment, capture_output=True, text=True, timeout=SECONDS_MAX
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package as its wheel has it: what is packed, and the compiled modules."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    ignored = shutil.ignore_patterns("*.so", "__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "src", tree / "src", ignore=ignored)
    target = tree / "installed"
    build = "from setuptools import setup; setup()"
    run(tree, sys.executable, "-c", build, "-q", "build_py", "--build-lib", str(target), path=tree)
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    for module in (ROOT / "src").rglob(f"*{suffix}"):
        shutil.copy(module, target / module.relative_to(ROOT / "src"))
    return target


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_program_is_built_against_an_installed_copy(tmp_path: Path, installed: Path) -> None:
    (tmp_path / "drive.pyx").write_text(block("cython"), encoding="utf-8")
    (tmp_path / "setup.py").write_text(block("python", "# setup.py"), encoding="utf-8")
    (tmp_path / "use.py").write_text(block("python", "# use.py"), encoding="utf-8")
    run(tmp_path, sys.executable, "setup.py", "-q", "build_ext", "--inplace", path=installed)
    where = "import novate; print(novate.get_include())"
    assert run(tmp_path, sys.executable, "-c", where, path=installed).strip() == str(installed)
    assert run(tmp_path, sys.executable, "use.py", path=installed) == block("output")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_c_declarations_are_those_of_the_capsule(tmp_path: Path, installed: Path) -> None:
    """A C module that is built of them finds the version and the size that it expects."""
    (tmp_path / "native.h").write_text(block("c"), encoding="utf-8")
    (tmp_path / "ask.c").write_text(ASK, encoding="utf-8")
    (tmp_path / "setup.py").write_text(
        block("python", "# setup.py").replace("drive.pyx", "ask.c").replace("drive", "ask"),
        encoding="utf-8",
    )
    run(tmp_path, sys.executable, "setup.py", "-q", "build_ext", "--inplace", path=installed)
    program = "import ask, novate; print(ask.ask(novate.Engine()))"
    assert run(tmp_path, sys.executable, "-c", program, path=installed) == "(1, True, 0, 1)\n"


ASK = r"""
#include "native.h"

static void count_events(void *context, const Event *events, uint32_t count) {
    *(int *)context += (int)count;
}

static PyObject *ask(PyObject *module, PyObject *engine) {
    NativeApi *api = novate_native();
    Command command;
    int count = 0, answer;
    State *state;
    if (!api || !(state = api->state_of(engine))) return NULL;
    memset(&command, 0, sizeof command);
    command.kind = 8;                    /* ADVANCE_TIME */
    api->set_time(state, 1);
    answer = api->apply_one(state, &command, sizeof command, count_events, &count);
    return Py_BuildValue("(iOii)", (int)api->version,
                         api->event_size == sizeof(Event) ? Py_True : Py_False, answer, count);
}

static PyMethodDef methods[] = {{"ask", ask, METH_O, NULL}, {NULL, NULL, 0, NULL}};
static PyModuleDef definition = {PyModuleDef_HEAD_INIT, "ask", NULL, -1, methods,
                                 NULL, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit_ask(void) { return PyModule_Create(&definition); }
"""


def test_headers_are_found_in_place_too() -> None:
    assert (Path(novate.get_include()) / "novate" / "model" / "records.h").is_file()
