"""The audit domain: registration, capture, outbox, read model and API. Knows no Kafka."""

__version__ = "1.0.0"
