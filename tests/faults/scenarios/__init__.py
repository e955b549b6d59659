"""The scenarios, by what fails; importing this package notes all of them."""

from tests.faults.scenarios import consumers, databases, relays, writers

__all__ = ["consumers", "databases", "relays", "writers"]
