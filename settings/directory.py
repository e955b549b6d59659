"""The hospital directory: another service that is told of doctors; off where DIRECTORY_URL is not set."""

from __future__ import annotations

from settings.env import env

DIRECTORY_URL = env.secret_url("DIRECTORY_URL", schemes=("http", "https"), example="https://directory.example.org/api")
DIRECTORY_TOKEN = env.text("DIRECTORY_TOKEN")
# For each step of a request: to connect, and for each answer of the socket.
DIRECTORY_TIMEOUT_SECONDS = env.integer("DIRECTORY_TIMEOUT_SECONDS", default=5, minimum=1, maximum=300)
