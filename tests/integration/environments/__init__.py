"""Capture in the environments of other people: pools, poolers, engines, several databases, other projects."""
