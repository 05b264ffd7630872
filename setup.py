"""Builds the compiled modules: every `src/novate/**/*.pyx` becomes an extension of the same name.

NOVATE_BUILD chooses how: `release` (the default); `checked`, which traps on signed overflow and on
any index out of bounds and turns the engine's own invariants on (the C macro NOVATE_CHECKED); or
`sanitized`, the checked one under the address and the undefined-behaviour sanitizers, which ends at
the first report (its process needs libasan loaded first: `make sanitized-test`). `none` compiles
nothing: for an installation in place, whose modules are compiled by a step of their own.
An extension that does not compile fails the build: there is no slower fallback to hide behind.
"""

import os
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup

SOURCE = Path("src")
BUILDS = ("release", "checked", "sanitized", "none")
CORES = os.cpu_count() or 1

# The engine lays C structs over byte buffers (records, dumps), which strict aliasing makes
# undefined: a wrong answer that only some compilers give. Speed is not bought at that price.
# -g1 keeps the lines that a profiler shows.
COMMON_FLAGS = ["-O3", "-g1", "-fno-strict-aliasing", "-fvisibility=hidden", "-Wall", "-Wextra"]
# What Cython writes, and not we, is the source of these.
QUIET_FLAGS = ["-Wno-unused-function", "-Wno-unused-parameter", "-Wno-missing-field-initializers"]
QUIET_FLAGS += ["-Wno-cast-function-type", "-Wno-sign-compare", "-Wno-unused-but-set-variable"]
# Python's own flags hold -fwrapv, under which signed overflow is defined and so never reported.
CHECKED_FLAGS = [
    # It is to be made quickly, for nobody waits for its answers; -O3 sees more of what is set.
    *("-O1", "-Wno-maybe-uninitialized"),
    "-fno-wrapv",
    "-fsanitize=signed-integer-overflow,bounds",
    "-fsanitize-undefined-trap-on-error",
]
SANITIZED_FLAGS = [
    "-fno-wrapv",
    "-fno-omit-frame-pointer",
    "-fsanitize=address,undefined",
    # Shifts and alignment as Python's and NumPy's own headers use them are not ours to judge.
    "-fno-sanitize=alignment",
    "-fno-sanitize-recover=all",
]
DIRECTIVES = {
    "language_level": 3,
    "cdivision": True,
    "embedsignature": True,
    "wraparound": False,
}
# On in the checked build alone. A `# cython:` line in a source would go before these: have none.
CHECKS = ("boundscheck", "initializedcheck", "nonecheck")


def chosen_build() -> str:
    """The build asked for by NOVATE_BUILD; anything unknown stops here."""
    build = os.environ.get("NOVATE_BUILD", "release")
    if build not in BUILDS:
        raise SystemExit(f"NOVATE_BUILD: expected one of {', '.join(BUILDS)}, found {build!r}")
    return build


def extension(source: Path, flags: list[str], macros: list[tuple[str, str]]) -> Extension:
    """One compiled module, named by its place under src/."""
    name = ".".join(source.relative_to(SOURCE).with_suffix("").parts)
    headers = sorted(str(header) for header in SOURCE.rglob("*.h"))
    return Extension(
        name,
        [str(source)],
        include_dirs=[numpy.get_include(), str(SOURCE)],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"), *macros],
        extra_compile_args=flags,
        extra_link_args=[flag for flag in flags if flag.startswith("-fsanitize=")],
        depends=["setup.py", *headers],
    )


def extensions(build: str) -> list[Extension]:
    """Every compiled module of the package, made C for this build."""
    if build == "none":
        return []
    checked = build != "release"
    more = {"release": [], "checked": CHECKED_FLAGS, "sanitized": SANITIZED_FLAGS}[build]
    flags = COMMON_FLAGS + QUIET_FLAGS + more
    macros = [("NOVATE_CHECKED", "1" if checked else "0")]
    sources = sorted(SOURCE.glob("novate/**/*.pyx"))
    return cythonize(
        [extension(source, flags, macros) for source in sources],
        include_path=[str(SOURCE)],
        nthreads=CORES,
        build_dir=f"build/cython-{build}",
        compiler_directives={**DIRECTIVES, **dict.fromkeys(CHECKS, checked)},
    )


if __name__ == "__main__":
    setup(
        ext_modules=extensions(chosen_build()),
        options={"build_ext": {"parallel": CORES}},
    )
