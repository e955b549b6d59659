"""What fails in PostgreSQL, and between it and the service."""

from __future__ import annotations

import signal
from pathlib import Path

import psycopg

from auditlog.roles import Role, create_roles
from tests.faults.pooler import pooler
from tests.faults.proxy import Mode, Proxy
from tests.faults.run import BATCH_ROWS, Run
from tests.faults.scenario import scenario
from tests.faults.servers import Server

WINDOW = 2 * BATCH_ROWS
# An hour of the field.
HOLD_SECONDS = 8.0
KEPT_SHARE = 0.8
TERMINATE = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{database}' AND usename = '{role}'
"""
DEAD = "SELECT n_dead_tup AS n FROM pg_stat_user_tables WHERE relname = 'auditlog_outboxevent'"
PUBLISHED = "SELECT coalesce(sum(cardinality(event_ids)), 0)::bigint AS n FROM auditlog_outboxledger"
TIMELINES = "SELECT DISTINCT left(sequence, 8) AS timeline FROM auditlog_auditlog ORDER BY 1"
# More than a new server and a restore need.
USE_XIDS = "DO $$ BEGIN FOR n IN 1..20000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$"
XID = "SELECT pg_current_xact_id()::text::bigint AS xid"


@scenario(
    9, "connections of the relay and the consumer reset in a batch", "they reconnect", duplicates=WINDOW, quick=True
)
def connections_reset(run: Run) -> None:
    run.load()
    for _ in range(3):
        for role in (Role.RELAY, Role.CONSUMER):
            run.domain.execute(TERMINATE.format(database=run.database, role=role))
        run.grows(60)
        for role in (Role.RELAY, Role.CONSUMER):
            run.servers.proxies[role].reset()
        run.grows(60)
    run.healed()
    run.recovered()


@scenario(
    43, "connections of the relay and the consumer to PostgreSQL half-open", "given up for new ones; nothing twice",
    quick=True,
)  # fmt: skip
def half_open(run: Run) -> None:
    run.load()
    for role in (Role.RELAY, Role.CONSUMER):
        run.servers.proxies[role].strand()
    _await_silence(run)
    run.healed()
    run.grows(60)
    run.recovered()


# Reports of what is sent go unread while the relay waits for the database, and its leases run out.
@scenario(
    44, "no bytes pass between PostgreSQL and the relay and the consumer", "given up, tried again, made up for",
    duplicates=WINDOW,
)  # fmt: skip
def stuck(run: Run) -> None:
    run.load()
    for role in (Role.RELAY, Role.CONSUMER):
        run.servers.proxies[role].switch(Mode.STUCK)
    _await_silence(run)
    run.grows(100)
    for role in (Role.RELAY, Role.CONSUMER):
        run.servers.proxies[role].switch(Mode.OPEN)
    run.healed()
    run.recovered()


def _await_silence(run: Run) -> None:
    """Wait until relay and consumer have given their connections up."""
    said = {"relay.waiting_for_postgresql": run.relays[0], "consumer.database_unavailable": run.consumers[0]}
    for name, service in said.items():
        run.wait(
            lambda: any(line["event"] == name for line in service.events()),  # noqa: B023
            what=f"{service.name} to notice",
        )


# What the relay deletes is not flushed to disk: a crash may bring it back, and it is sent again.
@scenario(10, "PostgreSQL restarted, fast and immediately", "they go on by themselves", duplicates=None)
def restarted(run: Run) -> None:
    run.load()
    for number in (signal.SIGINT, signal.SIGQUIT):
        run.domain.stop(number)
        run.let_pass(2)
        run.domain.start()
        run.healed()
        run.grows(150)
    run.recovered()
    run.expect(run.truth().errors, "no writer noticed")


@scenario(11, "failover to a synchronous standby", "nothing committed is lost; ids never go back", duplicates=None)
def synchronous_failover(run: Run) -> None:
    standby = standby_of(run.domain, run, port=run.domain.port)
    run.domain.execute("ALTER SYSTEM SET synchronous_standby_names = 'standby'", "SELECT pg_reload_conf()")
    run.load()
    run.grows(100)
    before = run.last_id()
    run.domain.kill()
    standby.execute("SELECT pg_promote(true)")
    run.move_to(standby)
    run.healed()
    run.expect(run.last_id() >= before, f"ids went back from {before} to {run.last_id()}")
    run.grows(200)
    run.recovered()
    run.expect(run.truth().vanished == 0, "a commit that was answered is gone")
    timelines = [row["timeline"] for row in run.log.query(TIMELINES)]
    run.expect(timelines == ["00000001", "00000002"], f"timelines {timelines}")


@scenario(
    12, "failover to an asynchronous standby that lacks commits",
    "what was published of them is named by the reconciler; new events are later in sequence",
    duplicates=None, apart=True,
)  # fmt: skip
def asynchronous_failover(run: Run) -> None:
    lag = Proxy(run.domain.port)
    run.cleanup.callback(lag.close)
    standby = standby_of(run.domain, run, port=lag.port)
    run.load()
    lag.switch(Mode.STUCK)
    run.grows(150)
    run.stop_writers()
    run.wait(lambda: run.pending() == 0, what="an empty outbox")
    run.wait(lambda: set(run.books.committed()) <= run.stored_ids(), what="all events in the log")
    before, last = set(run.books.committed()), run.last_id()
    run.domain.kill()
    lag.switch(Mode.CUT)
    standby.execute("SELECT pg_promote(true)")
    run.move_to(standby)
    run.healed()
    run.disowned = before - set(run.books.committed())
    run.expect(run.disowned, "the standby had everything")
    run.expect(run.last_id() < last, "no id can be given again")
    run.start_writers()
    run.grows(200)
    run.recovered()
    run.stop_writers()
    run.wait(lambda: run.pending() == 0, what="an empty outbox")
    # That the reconciler names what is disowned, every scenario looks at in the end.
    run.expect(run.truth().vanished > 0, "no commit is gone")


def standby_of(primary: Server, run: Run, *, port: int) -> Server:
    """Start a streaming standby of a server that follows it through a port; it ends with the scenario."""
    standby = run.servers.another()
    standby.make_folder()
    source = f"host=127.0.0.1 port={port} user=postgres application_name=standby"
    primary.program(
        "pg_basebackup", "-D", str(standby.folder), "-d", source, "-R", "-X", "stream", "--checkpoint=fast", "--no-sync"
    )
    standby.start()
    return standby


@scenario(13, "PgBouncer in transaction mode in front of all", "everything works; the relay polls")
def pooled(run: Run) -> None:
    with pooler(host="127.0.0.1", server_port=run.domain.port, connections=4) as port:
        for proxy in run.servers.proxies.values():
            proxy.redirect(port)
        run.environment["DATABASE_BEHIND_PGBOUNCER"] = "true"
        run.load()
        run.grows(300)
        run.healed()
        run.recovered()
        run.settle()


@scenario(
    14,
    "write transaction open for long in the same database",
    "other events flow; its own follow its commit",
)
def long_transaction(run: Run) -> None:
    run.load()
    until = run.folder / "commit"
    held = _holding(run, until)
    stored = run.stored()
    run.let_pass(HOLD_SECONDS)
    run.wait(lambda: run.stored() > stored + 200, what="events of others")
    _let_commit(run, until, held)


@scenario(15, "write transaction open for long in another database", "no effect")
def other_database(run: Run) -> None:
    run.load()
    with psycopg.connect(run.domain.url(role="postgres", database="postgres")) as other:
        other.execute("SELECT pg_current_xact_id()")
        stored = run.stored()
        run.let_pass(HOLD_SECONDS)
        run.wait(lambda: run.stored() > stored + 200, what="events")
        other.rollback()
    run.healed()
    run.recovered()


@scenario(16, "low ids commit after higher ones were published", "they are published; order of each key kept")
def late_commit(run: Run) -> None:
    run.load()
    until = run.folder / "commit"
    held = [_holding(run, until) for _ in range(3)]
    low = run.last_id()
    run.grows(300)
    run.wait(
        lambda: (
            run.log.query("SELECT max(sequence) AS s FROM auditlog_auditlog")[0]["s"] > f"00000001:{low + 100:020d}"
        ),
        what="higher ids in the log",
    )
    _let_commit(run, until, *held)


def _holding(run: Run, until: Path) -> Path:
    """Start a transaction that stays open until a file is there, and return the writer's account."""
    run.start_writer("--once", "held", "--until", str(until))
    account = run.files[-1]
    run.wait(lambda: account.exists() and '"holds"' in account.read_text(encoding="utf-8"), what="an open transaction")
    return account


def _let_commit(run: Run, until: Path, *accounts: Path) -> None:
    until.touch()
    run.healed()
    for account in accounts:
        run.wait(lambda: '"ended"' in account.read_text(encoding="utf-8"), what="the commit")  # noqa: B023
    run.recovered()


@scenario(17, "xmin held back under load", "the relay keeps up; dead rows go after the release")
def xmin_held(run: Run) -> None:
    run.load()
    url = run.domain.url(role="postgres", database=run.database)
    with psycopg.connect(url) as holder:
        holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        holder.execute("SELECT count(*) FROM shop_item")
        run.grows(600)
        committed, published = run.last_id(), _published(run)
        run.let_pass(HOLD_SECONDS)
        share = (_published(run) - published) / (run.last_id() - committed)
        run.expect(share >= KEPT_SHARE, f"the relay published {share:.0%} of what was committed")
        run.domain.execute("VACUUM auditlog_outboxevent", "ANALYZE auditlog_outboxevent", database=run.database)
        dead = run.books.query(DEAD)[0]["n"]
        run.expect(dead > 400, f"only {dead} dead rows were held")
        holder.rollback()
    run.healed()
    run.recovered()
    run.domain.execute("VACUUM auditlog_outboxevent", "ANALYZE auditlog_outboxevent", database=run.database)
    left = run.books.query(DEAD)[0]["n"]
    run.expect(left < dead / 2, f"{left} of {dead} dead rows are left")


def _published(run: Run) -> int:
    return int(run.books.query(PUBLISHED)[0]["n"])


# What the old relay had sent when it was stopped had no answer: it is sent again.
@scenario(
    38,
    "dump, and restore on a new server (transaction ids begin again)",
    "the relay goes on from the ids",
    duplicates=WINDOW,
)
def restored(run: Run) -> None:
    run.load()
    run.servers.cluster.switch_relays(Mode.STUCK)
    run.grows(100)
    run.stop_writers()
    for service in (*run.relays, *run.consumers):
        run.expect(service.terminate() == 0, f"{service.name} failed")
    run.servers.cluster.switch_relays(Mode.OPEN)
    run.expect(run.pending() > 0, "nothing waits in the outbox")
    run.domain.execute(USE_XIDS, database=run.database)
    before, xid = run.last_id(), run.books.query(XID)[0]["xid"]
    dump = run.domain.folder.parent / f"{run.database}.dump"
    new = run.servers.another()
    new.start()
    dump.touch()
    dump.chmod(0o666)
    run.domain.program("pg_dump", "-Fc", "-d", run.domain.url(role="postgres", database=run.database), "-f", str(dump))
    with psycopg.connect(new.admin_url, autocommit=True) as admin:
        create_roles(admin, database=run.database, passwords={})
    new.program("pg_restore", "--exit-on-error", "-d", new.url(role="postgres", database=run.database), str(dump))
    dump.unlink()
    run.move_to(new)
    run.healed()
    run.expect(run.books.query(XID)[0]["xid"] < xid, "transaction ids did not begin again")
    run.expect(run.last_id() >= before, "ids went back")
    run.start_relay()
    run.start_consumer()
    run.start_writers()
    run.grows(150)
    run.recovered()


@scenario(
    41,
    "primary read-only, then its disk full",
    "writes fail together with their events; then all goes on",
    duplicates=None,
)
def refused_writes(run: Run) -> None:
    disk = run.small_disk(run.domain)
    run.load()
    run.domain.execute("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
    run.wait(lambda: "ReadOnlySqlTransaction" in run.truth().errors, what="writers that are refused")
    run.let_pass(3)
    run.domain.execute("ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()")
    run.grows(150)
    disk.fill()
    run.wait(lambda: "DiskFull" in run.truth().errors, what="writers without room")
    run.let_pass(3)
    disk.free()
    run.healed()
    run.grows(150)
    run.recovered()
