#!/usr/bin/env bash
# Remakes the pinned, hashed lock files from the ranges in pyproject.toml; what is pinned stays so
# unless UPGRADE is set. They hold no address, so that whatever index pip is set up with serves
# them. Extras are named: without that, pip takes the newest release of what another package asks
# an extra of, and then refuses it for want of a hash. Takes the place of uv to use as its argument.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=${1:-uv}

lock() {
    local out=$1
    shift
    "$uv" pip compile "$@" --output-file "requirements/$out" ${UPGRADE:+--upgrade} --quiet \
        --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
        --no-emit-find-links --no-annotate --no-strip-extras --custom-compile-command "make lock"
}

# The whole first; its parts then hold the same versions.
lock dev.txt pyproject.toml --group build --group dev
lock runtime.txt pyproject.toml --constraints requirements/dev.txt
lock build.txt --group build --constraints requirements/dev.txt
