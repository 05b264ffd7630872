"""Exports: trades, orders and candles as files that other tools read, exact to the last digit.

`sources` replays what happened, `tables` makes rows of it, `files` writes them in chunks, `command`
is `novate export`. Memory is bounded by a chunk, whatever the length of the history.
"""
