"""Exports: trades, orders and candles as files that other tools read, exact to the last digit.

A source (`journal_source` replays what happened) gives trades and orders, `tables` makes rows of
them, `files` writes those in chunks, `command` is `novate export`. Memory is bounded by a chunk,
whatever the length of the history.
"""
