"""The act about personal data: what an agent sees, the tricks it tries, and a search through all that it received."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from subprocess import CompletedProcess
from typing import Any

from demo.promises import Promises
from demo.stage import Stage

LOOK = "SELECT name, email, phone, ssn, birth_date FROM customers ORDER BY id LIMIT 4"
COPY = "COPY (SELECT id, ssn, phone FROM customers WHERE id < 4) TO STDOUT"
TRICKS = (
    ("a function of the value", "SELECT id, reverse(ssn) FROM customers"),
    ("a question about the value", "SELECT id FROM customers WHERE ssn LIKE '9%'"),
    ("a copy into another table", "INSERT INTO products SELECT 9000 + id, ssn, 1, 1 FROM customers"),
)

Psql = Callable[[str], CompletedProcess[str]]


def look_at_customers(stage: Stage, promises: Promises, psql: Psql) -> None:
    """Read, copy, try three tricks, and hold everything that came back against the real values."""
    products = stage.count("products")
    seen = [psql(LOOK), psql(COPY)]
    promises.check("the agent may read customers, and copy them", [done.returncode for done in seen], [0, 0])
    promises.check("of identity numbers it sees a mask", "***" in seen[0].stdout, True)
    promises.check("addresses keep their domain", "***@example.test" in seen[0].stdout, True)
    truth = stage.truth("SELECT name FROM customers ORDER BY id LIMIT 4")
    promises.check("names, which no rule masks, are real", all(name in seen[0].stdout for (name,) in truth), True)
    for what, sql in TRICKS:
        done = psql(sql)
        seen.append(done)
        promises.check(f"{what} is refused", done.returncode, 1)
    promises.check("nothing was copied", stage.count("products"), products)
    received = "\n".join(done.stdout + done.stderr for done in seen)
    secrets = list(real_values(stage))
    promises.check(f"none of {len(secrets)} real values is in what the agent received", found(secrets, received), [])
    promises.check("... nor in the recordings", found(secrets, recorded(stage)), [])


def real_values(stage: Stage) -> Iterator[str]:
    """Every masked value of the database, asked past the gateway."""
    for row in stage.truth("SELECT email, phone, ssn FROM customers"):
        yield from map(str, row)


def recorded(stage: Stage) -> str:
    """Everything that all recordings show."""
    texts = []
    for entry in stage.lines("recordings", "ls"):
        texts += [json.dumps(line) for line in stage.lines("recordings", "play", "--no-wait", str(entry["id"]))]
    return "\n".join(texts)


def found(secrets: Iterable[str], text: str) -> Sequence[str]:
    """Those values that stand in the text: as they are, backwards, or in base64, hexadecimal or as an MD5 sum."""
    return [value for value in secrets if any(form in text for form in forms(value))]


def forms(value: str) -> Iterator[str]:
    """A value as a trick might spell it."""
    raw: Any = value.encode()
    yield value
    yield value[::-1]
    yield base64.b64encode(raw).decode()
    yield raw.hex()
    yield hashlib.md5(raw, usedforsecurity=False).hexdigest()
