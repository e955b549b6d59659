"""Measures what capture, relay and consumer cost, on a stack of its own: `python -m bench --help`."""
