"""The domain's REST API under `/api/`."""
