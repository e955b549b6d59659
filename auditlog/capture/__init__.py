"""Capture: compilers that let the event ride in a write's RETURNING clause, and the receivers that frame it."""
