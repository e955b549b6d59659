"""Exports: a query's events as one stream that says at its end whether it is whole."""
