"""SQL over the audit events of a state directory, in memory: the table is ``audit_events``, as it is in Athena.

The SQL is a stranger's: it may come out of a chat or a ticket. It is one SELECT, on an engine that was cut off from
files, network, extensions and its own settings before it saw any of it, with limits on memory, time and rows.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from blastwall.audit.columns import TABLE, duckdb_columns
from blastwall.errors import ClientFault, OurFault

MEMORY: Final = "1GB"
THREADS: Final = 2
_DAY: Final = re.compile(r"(\d{4}-\d{2}-\d{2})\.jsonl\Z")

#: What Athena has and the engine lacks, by the same names. More is not needed for docs/queries.md.
_ATHENA: Final = (
    "CREATE MACRO array_join(items, separator) AS array_to_string(items, separator)",
    "CREATE MACRO regexp_like(value, pattern) AS regexp_matches(value, pattern)",
    "CREATE MACRO from_iso8601_timestamp(value) AS CAST(value AS TIMESTAMPTZ)",
    "CREATE MACRO approx_distinct(value) AS approx_count_distinct(value)",
)
_LOCKED: Final = ("SET enable_external_access = false", "SET lock_configuration = true")


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows of a result; ``more`` says that there were others behind them."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    more: bool


def ask(directory: Path, sql: str, *, since: str = "", limit: int = 1000, seconds: float = 30.0) -> Answer:
    """Answer one SELECT over the ``*.jsonl`` files of ``directory``, of the days from ``since`` (YYYY-MM-DD) on.

    Raises ClientFault for SQL that is not one SELECT, fails, or needs more than the limits; OurFault when the engine is
    not installed. Ctrl-C ends it at once.
    """
    try:
        with ThreadPoolExecutor(1) as importing:  # an interrupt in the midst of its initialisation aborts the process
            duckdb = importing.submit(import_module, "duckdb").result()
    except ModuleNotFoundError as error:
        raise OurFault("SQL over audit events needs DuckDB: pip install 'blastwall[query]'.") from error
    files = sorted(path for path in directory.glob("*.jsonl") if _is_from(path, since))
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": MEMORY,
        "threads": THREADS,
        "temp_directory": "",  # or else it would write what does not fit in memory where it stands
        "python_enable_replacements": False,  # or else table names reach the variables of this program
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
    }

    def answer() -> Answer:
        _load(engine, files)
        for statement in (*_ATHENA, *_LOCKED):
            engine.execute(statement)
        return _answer(engine, sql, limit, duckdb.StatementType.SELECT)

    # In a thread of its own: in the main one the engine sees signals late, and has words of its own for them.
    with duckdb.connect(":memory:", config=settings) as engine, ThreadPoolExecutor(1) as asking:
        alarm = threading.Timer(seconds, engine.interrupt)
        alarm.start()
        answering = asking.submit(answer)
        try:
            return answering.result()
        except KeyboardInterrupt:
            while not answering.done():  # what comes between two statements is lost on it
                engine.interrupt()
                wait((answering,), 0.05)
            raise
        except duckdb.InterruptException as error:
            raise ClientFault(f"The query took more than {seconds:g} s; ask for fewer days or rows.") from error
        except duckdb.OutOfMemoryException as error:
            raise ClientFault(f"The query needs more than {MEMORY} of memory; ask for fewer days (--since).") from error
        except duckdb.Error as error:
            raise ClientFault(f"The query failed: {error}") from error
        finally:
            alarm.cancel()


def _load(engine: Any, files: Sequence[Path]) -> None:  # noqa: ANN401  the engine's own types are optional
    """Make the table: each event once, with the partitions it has in Athena."""
    columns = duckdb_columns()
    partitions = (
        "strftime(make_timestamp(time * 1000), '%Y-%m-%d') AS dt, strftime(make_timestamp(time * 1000), '%H') AS hour"
    )
    if not files:
        made = ", ".join(f'"{name}" {type_}' for name, type_ in columns.items())
        engine.execute(f"CREATE TABLE {TABLE} ({made}, dt VARCHAR, hour VARCHAR)")
        return
    engine.execute(
        f"CREATE TABLE {TABLE} AS SELECT DISTINCT ON (metadata.uid) *, {partitions} FROM read_json(?, columns = ?, "  # noqa: S608  our own table
        "format = 'newline_delimited', ignore_errors = true, maximum_object_size = 2000000) WHERE time IS NOT NULL",
        [[str(path) for path in files], columns],
    )


def _answer(engine: Any, sql: str, limit: int, select: object) -> Answer:  # noqa: ANN401  as above
    statements = engine.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != select:
        raise ClientFault("Ask one SELECT (WITH ... SELECT is one, too) over the table audit_events.")
    result = engine.execute(statements[0])
    columns = tuple(str(column[0]) for column in result.description or ())
    rows = result.fetchmany(limit + 1)
    return Answer(columns, tuple(map(tuple, rows[:limit])), len(rows) > limit)


def _is_from(path: Path, since: str) -> bool:
    day = _DAY.match(path.name)
    return day is not None and day[1] >= since
