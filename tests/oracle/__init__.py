"""The naive exchange: obviously right plain Python, and what drives it beside the engine."""
