"""docs/analytics.md says nothing that its own cells do not give."""

import pytest

from scripts import fill_analytics

pytestmark = pytest.mark.slow


def test_the_notebook_gives_what_it_shows() -> None:
    shown = fill_analytics.DOCUMENT.read_text(encoding="utf-8")
    assert shown.count("```text\n") >= 7
    assert fill_analytics.filled() == shown, "run scripts/fill_analytics.py"
