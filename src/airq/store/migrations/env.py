"""Run by Alembic: applies revisions on the connection that `airq.store.migrator` hands over."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, version_table_schema="airq")
with context.begin_transaction():
    context.run_migrations()
