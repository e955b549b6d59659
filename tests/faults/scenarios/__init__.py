"""The scenarios, by what fails; importing this package notes all of them."""

from tests.faults.scenarios import brokers, consumers, databases, deploys, relays, writers

__all__ = ["brokers", "consumers", "databases", "deploys", "relays", "writers"]
