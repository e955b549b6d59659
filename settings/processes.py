"""How the processes run: the heartbeats of the loops, and the web server of the `api` role."""

from __future__ import annotations

from settings.env import env

# Folder in which a run loop keeps the file that says it goes round; each process needs its own. Empty: none is written.
HEARTBEAT_DIR = env.text("HEARTBEAT_DIR")

# How many of 100 requests are logged; those that fail for reasons of the server always are.
AUDITLOG_REQUEST_LOG_PERCENT = env.integer("REQUEST_LOG_PERCENT", default=100, maximum=100)

# Address and port of the API, for gunicorn with `-c python:settings.server`.
API_BIND = env.matching(
    "API_BIND", r"\S+:\d+", default="0.0.0.0:8000", expectation="an address and a port, such as 0.0.0.0:8000"
)
# One process for each pod, and more pods for more load: see docs/reference/metrics.md for what several cost.
API_WORKERS = env.integer("API_WORKERS", default=1, minimum=1, maximum=64)
# Of each worker.
API_THREADS = env.integer("API_THREADS", default=8, minimum=1, maximum=256)
# How many requests of the feed may wait for events at once, of each worker; one thread at least is left for others.
AUDITLOG_FEED_WAITS = min(env.integer("API_FEED_WAITS", default=4, maximum=255), API_THREADS - 1)
# How long requests under way may go on after SIGTERM.
API_GRACEFUL_SECONDS = env.integer("API_GRACEFUL_SECONDS", default=25, minimum=1, maximum=600)
# Port that serves the API's metrics, so that a proxy in front of API_BIND cannot reach them; 0: with the API.
API_METRICS_PORT = env.integer("API_METRICS_PORT", default=0, maximum=65_535)
