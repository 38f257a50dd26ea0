"""What the benchmarks run against: PostgreSQL 17, PgBouncer and the gateway, on loopback, ended with this process."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench import pgbench, pgbouncer
from bench.measure import BLASTWALL, DIRECT, PGBOUNCER
from bench.pgbench import BenchFault
from blastwall.config.bundle import load_bundle
from blastwall.local.audit import PLACES
from blastwall.local.recordings import AUDIT
from rig import account
from rig.certificates import ensure_certificates
from rig.gateway import GatewayProcess, compiled_environment, is_compiled
from rig.issuer import LocalIssuer
from rig.postgres import EmbeddedPostgres

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "bench" / "config"
DATABASE, USER, TARGET = "bench", "bench_agent", "bench"
MASKED = "masked"  # the target with masks, and the route to it
WATCHED = "watched"  # ... with content detectors
SCALE = 10  # pgbench's: a million accounts
ACCOUNTS = SCALE * 100_000
BULK_ROWS = 1_000_000  # of about 125 bytes each on the wire
TOKEN_SECONDS = 6 * 3600
SETTLE_SECONDS = 120.0
FREE_BYTES = 6 * 2**30  # tables, and recordings of the largest result

_BULK = f"""
DROP TABLE IF EXISTS bench_bulk;
CREATE TABLE bench_bulk (id integer PRIMARY KEY, code integer NOT NULL, name text NOT NULL, note text NOT NULL);
INSERT INTO bench_bulk
  SELECT n, (n::bigint * 7919) % 100003, 'customer ' || md5(n::text), repeat(chr(97 + n % 26), 38)
  FROM generate_series(1, {BULK_ROWS}) AS n;
DROP TABLE IF EXISTS bench_people, bench_hashed;
CREATE TABLE bench_people (
  id integer PRIMARY KEY, name text NOT NULL, email text NOT NULL, ssn text NOT NULL, note text
);
INSERT INTO bench_people
  SELECT n, 'customer ' || md5(n::text), 'person.' || n || '@example.test',
         '9' || (10 + n % 90) || '-12-' || (1000 + n % 9000),
         CASE WHEN n % 100 = 0 THEN 'write to person.' || n || '@example.test' ELSE repeat(chr(97 + n % 26), 30) END
  FROM generate_series(1, {BULK_ROWS}) AS n;
CREATE TABLE bench_hashed AS SELECT * FROM bench_people;
GRANT SELECT ON bench_bulk, bench_people, bench_hashed, pgbench_accounts TO {USER};
VACUUM (FREEZE, ANALYZE) bench_people;
VACUUM (FREEZE, ANALYZE) bench_hashed;
VACUUM (FREEZE, ANALYZE) bench_bulk;
VACUUM (FREEZE, ANALYZE) pgbench_accounts;
"""
_SETTINGS = {"shared_buffers": "512MB", "max_connections": "200", "autovacuum": "off", "max_wal_size": "4GB"}


@dataclass(frozen=True, slots=True)
class Route:
    """One way to the same table. ``pid`` is the proxy's, 0 on the direct way. ``ca`` verifies it over TLS."""

    name: str
    port: int
    user: str
    password: str
    pid: int
    ca: Path
    host: str = "127.0.0.1"
    database: str = DATABASE

    def environment(self, *, tls: bool) -> dict[str, str]:
        """For libpq."""
        return {
            "PATH": os.defpath,
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGPASSWORD": self.password,
            "PGDATABASE": self.database,
            "PGSSLMODE": "verify-full" if tls else "disable",
            "PGSSLROOTCERT": str(self.ca),
            "PGGSSENCMODE": "disable",
            "PGCONNECT_TIMEOUT": "20",
        }


def settle(state: Path) -> None:
    """Wait until the audit trail of this state directory has all that is recorded. Raises BenchFault."""
    deadline = time.monotonic() + SETTLE_SECONDS
    files = [file for file in (state / "recordings").rglob("*.bwr") if file.is_file()]
    while files := [file for file in files if not _followed(state, file)]:
        if time.monotonic() > deadline:
            raise BenchFault(f"the audit events of {len(files)} recordings are not there after {SETTLE_SECONDS:.0f} s")
        time.sleep(0.05)


def _followed(state: Path, file: Path) -> bool:
    try:
        place = json.loads((state / AUDIT / PLACES / f"{file.stem}.json").read_bytes())
        return bool(place["done"]) or int(place["position"]) >= file.stat().st_size
    except FileNotFoundError:
        return not file.exists()


class Stage:
    """Starts everything on entry and stops it on exit. The database is kept in ``state`` from run to run.

    The gateway offers TLS and also takes clients without it (loopback): both tables come from one process.
    """

    def __init__(self, state: Path) -> None:
        self.state = state.absolute()
        self.routes: dict[str, Route] = {}
        self.masked: dict[str, Route] = {}  # through the gateway to the same database with masks
        self.versions: list[str] = []
        self._stack = ExitStack()

    def __enter__(self) -> Stage:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        self.drop_recordings()
        shutil.rmtree(self.state / "gateway" / AUDIT, ignore_errors=True)  # some gigabytes of events in a run

    def _start(self) -> None:
        state = self.state
        state.mkdir(mode=0o711, parents=True, exist_ok=True)
        free = shutil.disk_usage(state).free
        if free < FREE_BYTES:
            raise BenchFault(f"{free / 2**30:.1f} GiB free at {state}; the benchmarks want {FREE_BYTES / 2**30:.0f}")
        program = pgbouncer.find(state)
        certificates = ensure_certificates(state / "tls", time.time())
        server = EmbeddedPostgres(state / "postgres", major=17, certificates=certificates, settings=_SETTINGS)
        self._stack.enter_context(server)
        password = self._fill(server)
        peer = pgbouncer.PgBouncer(program, state / "peer", certificates)
        self._stack.callback(peer.stop)
        peer.start(host=server.host, port=server.port, database=DATABASE, user=USER, password=password)
        issuer = LocalIssuer.open(state / "gateway")
        issuer.serve()
        self._stack.callback(issuer.stop)
        gateway = self._gateway(server, issuer, password, certificates.certificate, certificates.key)
        self._stack.callback(gateway.stop)
        gateway.start()
        token = issuer.mint("bench", ["agents"], ttl=TOKEN_SECONDS)
        at = int(gateway.listening["postgres"].rpartition(":")[2])
        self.routes = {
            DIRECT: Route(DIRECT, server.port, USER, password, 0, certificates.ca),
            PGBOUNCER: Route(PGBOUNCER, peer.port, USER, password, peer.pid, certificates.ca),
            BLASTWALL: Route(BLASTWALL, at, TARGET, token, gateway.pid, certificates.ca),
        }
        self.masked = {name: Route(name, at, name, token, gateway.pid, certificates.ca) for name in (MASKED, WATCHED)}
        built = "compiled" if is_compiled(ROOT) else "interpreted"
        self.versions = [
            f"the gateway {built}",
            "PostgreSQL " + server.psql("SHOW server_version").split()[0],
            pgbouncer.version(program),
        ]

    def _fill(self, server: EmbeddedPostgres) -> str:
        """Make what is missing; the password is new for each run."""
        password = secrets.token_urlsafe(24)
        if server.psql(f"SELECT count(*) FROM pg_roles WHERE rolname = '{USER}'") == "0":
            server.psql(f"CREATE ROLE {USER} LOGIN")
        server.psql(f"ALTER ROLE {USER} PASSWORD '{password}'")
        mark = self.state / "filled"
        wanted = f"{SCALE} {_BULK}"
        if not mark.exists() or mark.read_text() != wanted:
            server.drop_database(DATABASE)
            server.create_database(DATABASE)
            environment = {"PGHOST": server.host, "PGPORT": str(server.port), "PGUSER": server.superuser}
            environment |= {"PATH": os.defpath, "PGPASSWORD": server.password, "PGDATABASE": DATABASE}
            pgbench.initialise(environment, SCALE)
            server.psql(_BULK, database=DATABASE)
            mark.write_text(wanted)
        return password

    def _gateway(
        self, server: EmbeddedPostgres, issuer: LocalIssuer, password: str, certificate: Path, key: Path
    ) -> GatewayProcess:
        place = self.state / "gateway"
        secret = place / "target.password"
        account.write_private(secret, password.encode())
        first = load_bundle(CONFIG).config.identity.issuers[0].model_dump(mode="json")
        overrides = {
            "listen": {"postgres": "127.0.0.1:0"},
            "tls": {"certificate": str(certificate.resolve()), "key": str(key.resolve())},
            "identity": {"issuers": [first | {"issuer": issuer.issuer, "jwks_url": f"{issuer.issuer}/jwks.json"}]},
            "targets": {
                name: {
                    "host": server.host,
                    "port": server.port,
                    "credential": [{"kind": "static", "user": USER, "password_file": str(secret.resolve())}],
                }
                for name in (TARGET, MASKED, WATCHED)
            },
        }
        file = place / "overrides.json"
        account.write_private(file, json.dumps(overrides).encode())
        environ = {**os.environ, "BLASTWALL_BENCH_MASKING_KEY": secrets.token_hex(32)}
        environment = compiled_environment(ROOT, environ)
        return GatewayProcess(CONFIG, place, file, place / "gateway.log", environment)

    def recorded(self) -> int:
        """Bytes of all recordings at hand."""
        return sum(file.stat().st_size for file in self._recordings())

    def settle(self) -> None:
        """Wait until all that was recorded has become audit events, which is done when there is time for it.

        So it counts as the gateway's own work, and takes nobody else's time. Raises BenchFault after two minutes.
        """
        settle(self.state / "gateway")

    def drop_recordings(self) -> None:
        """Give back the disk they take. Call it when no connection is open: what is deleted is gone."""
        for file in self._recordings():
            file.unlink(missing_ok=True)

    def _recordings(self) -> list[Path]:
        return [file for file in (self.state / "gateway" / "recordings").rglob("*.bwr") if file.is_file()]
