"""The local stack: a PostgreSQL, a Kafka and the service's processes on a developer's machine; not in the image."""
