"""Migrations of the ledger's tables, run by `novate migrate` and by the follower."""
