"""The resources of the audit API, one module for each subject."""
