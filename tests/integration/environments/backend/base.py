"""The engine: `ENGINE = "tests.integration.environments.backend"`."""

from __future__ import annotations

from django.db.backends.postgresql import base, operations


class DatabaseOperations(operations.DatabaseOperations):
    """Names its own compilers."""

    compiler_module = "tests.integration.environments.backend.compiler"


class DatabaseWrapper(base.DatabaseWrapper):
    """PostgreSQL with these operations."""

    ops_class = DatabaseOperations
