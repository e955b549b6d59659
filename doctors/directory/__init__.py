"""The hospital directory, another service: it is told in the background what it shows of doctors."""
