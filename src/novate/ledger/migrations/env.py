"""Runs migrations on the connection that `novate.ledger.database` gives; never opens one."""

from alembic import context

from novate.ledger.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
context.run_migrations()
