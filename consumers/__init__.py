"""The consumer: builds the AuditLog read model from the Kafka topics."""
