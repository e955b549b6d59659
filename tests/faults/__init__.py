"""
Faults: what becomes of the events when processes, servers, networks and clocks fail.

`python -m tests.faults` goes through every scenario on three brokers and writes `docs/reference/faults.md`;
`test_quick.py` runs some of them on one broker. `servers` starts PostgreSQL, Kafka and the proxies between them and the
service; `writer` applies the load and keeps an account of its own; `run` is one scenario under way; `account` compares
what the writers say with the outbox, the topics and the audit log.
"""
