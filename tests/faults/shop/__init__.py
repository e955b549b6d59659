"""What the writers of the fault suite write: models without receivers of their own, so that each write is one event."""
