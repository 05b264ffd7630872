"""Novate: an exchange and clearing house in a box.

A command comes in at a gateway, the sequencer gives it its place and time, the journal makes it
durable, the engine matches it, and streams and reads show what happened.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
