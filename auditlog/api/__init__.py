"""The audit API: HTTP in front of `auditlog.queries`."""
