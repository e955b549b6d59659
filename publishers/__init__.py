"""The relay: takes committed events out of the outbox and publishes them to Kafka."""
