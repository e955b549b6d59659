"""Configuration of the service: the only place that reads the environment."""
