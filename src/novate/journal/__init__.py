"""The journal: every command in its order, durable, and the only thing that must never be lost.

It owns the segment files or the rows in PostgreSQL, the durable mark and the snapshots of a data
folder, and their formats.
It does not look into the commands, and must never answer that a batch is durable before it is.
"""
