"""What an approval is for: hashes over a statement and all that changes its meaning."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator

from blastwall.errors import OurFault
from blastwall.model import ApprovalRequest, Facts, Parameter, Principal, Statement

LONGEST_SHAPE = 4096  # characters

# Whole tokens only: names (also quoted), numbers, plain strings, signs. A string must not follow a name: E'', U&'' and
# the like read their content differently.
_SHAPELY = re.compile(
    r"""(?:"[^"\\']*"|[A-Za-z_][A-Za-z0-9_]*(?!['A-Za-z0-9_])|\$[0-9]+|(?<!&)'(?:[^'\\]|'')*'(?!')|[0-9]+(?:\.[0-9]+)?(?![A-Za-z0-9_.])"""
    r"""|[ \t\n,.()=<>*;+:|%/\[\]-])*""",
    re.ASCII,
)
_LITERAL = re.compile(r"""("[^"]*"|[A-Za-z_][A-Za-z0-9_]*|\$[0-9]+)|'(?:[^']|'')*'|[0-9]+(?:\.[0-9]+)?""", re.ASCII)


def binding(*, principal: Principal, session: str, target: str, statement: Statement, policy_version: str) -> str:
    """SHA-256 (64 hex digits) over everything an approval is for; any difference makes another request.

    Every field is length-prefixed, so no two different inputs read the same; NULL and the empty value differ. The
    client's own name for a prepared statement and the statement's number are left out: they do not change what runs.
    """
    digest = hashlib.sha256()
    for field in _bound_fields(principal, session, target, statement, policy_version):
        digest.update(b"-" if field is None else b"%d:" % len(field) + field)
    return digest.hexdigest()


def binding_of(request: ApprovalRequest, policy_version: str) -> str:
    """The binding that a request's own content has under a policy; under "" it is the question, whatever policy."""
    return binding(
        principal=request.principal,
        session=request.session,
        target=request.target,
        statement=request.statement,
        policy_version=policy_version,
    )


def check_binding(request: ApprovalRequest) -> None:
    """Raises OurFault unless the request carries the binding of its own content."""
    if request.binding != binding_of(request, request.policy_version):
        raise OurFault("an approval request must carry the binding of its own content (blastwall.approvals.binding)")


def _bound_fields(
    principal: Principal, session: str, target: str, statement: Statement, policy_version: str
) -> Iterator[bytes | None]:
    yield b"blastwall approval 1"
    for text in (principal.issuer, principal.subject, principal.agent, principal.on_behalf_of):
        yield None if text is None else _raw(text)
    yield b"%d" % len(principal.groups)
    yield from (_raw(group) for group in sorted(principal.groups))
    for text in (session, target, policy_version, statement.kind, statement.text, statement.surroundings):
        yield _raw(text)
    yield b"%d" % len(statement.parameters)
    for parameter in statement.parameters:
        yield parameter.value
        yield b"%d %d" % (parameter.type_id, parameter.binary)


def shape(
    *,
    principal: Principal,
    session: str,
    target: str,
    statement: Statement,
    facts: Facts,
    policy_version: str,
    literals: bool = True,
) -> str:
    """As :func:`binding`, for all statements that differ only in literals and were found to do the same; "" for none.

    The gateway's findings are part of it: another object, flag or bound is another shape, whatever the text looks like.
    ``literals``: the text is SQL. Elsewhere quotes and digits say nothing (a shell's 'nginx' is the name of what is
    restarted): a shape is that one text then.
    """
    text = shape_text(statement.text) if literals else statement.text
    if not text:
        return ""
    alike = statement._replace(
        text=text,
        parameters=tuple(Parameter(None, parameter.binary, parameter.type_id) for parameter in statement.parameters),
    )
    digest = hashlib.sha256(b"blastwall shape 1")
    for field in _bound_fields(principal, session, target, alike, policy_version):
        digest.update(b"-" if field is None else b"%d:" % len(field) + field)
    found = (
        facts.effect.value, facts.verb, str(facts.bounded), str(facts.statements), str(facts.filters_masked),
        *(str(one) for one in facts.objects), "", *sorted(facts.flags), "", *sorted(facts.masked_columns),
    )  # fmt: skip
    for part in found:
        digest.update(b"%d:" % len(_raw(part)) + _raw(part))
    return digest.hexdigest()


def shape_text(text: str) -> str:
    """The text with each literal as ``?``; "" for a text in which literals cannot be told without a lexer.

    Every other byte stays. Comments, dollar quotes, backslashes, prefixed strings (E'', U&'', B'') and anything that is
    not ASCII have no shape: nothing is lost but a convenience.
    """
    if len(text) > LONGEST_SHAPE or not text.isascii() or "--" in text or "/*" in text:
        return ""
    if _SHAPELY.fullmatch(text) is None:
        return ""
    return _LITERAL.sub(lambda found: found[1] or "?", text)


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def request_id(entropy: bytes) -> str:
    """An unguessable request id, ``a-`` and 16 base32 characters (80 bits), from at least 10 random bytes."""
    if len(entropy) < 10:
        raise ValueError("a request id needs at least 10 random bytes")
    return "a-" + base64.b32encode(entropy[:10]).decode("ascii").lower()
