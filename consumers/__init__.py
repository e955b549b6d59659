"""Kafka to the read model: events, dead letters and offsets are stored in one transaction."""
