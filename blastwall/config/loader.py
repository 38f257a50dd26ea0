"""gateway.yaml in passes: shape, then references. Each pass finds all it can; problems carry file and line. Pure."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from blastwall import registry
from blastwall.config.document import Document
from blastwall.config.model import Config
from blastwall.errors import Problem
from blastwall.identity.jwks import check_address
from blastwall.identity.saml_token import issuer_of

Location = tuple[str | int, ...]

#: What pydantic says in Python's words, by its types of errors.
_SHAPES = {
    **dict.fromkeys(("tuple_type", "list_type", "set_type", "frozen_set_type"), "write a list, such as [a, b]"),
    **dict.fromkeys(
        ("dict_type", "model_type", "model_attributes_type", "mapping_type"), "write keys with values below it"
    ),
    "string_type": "write text",
}
_KIND_OF_VALUE = re.compile(r"constrained-|function-|(?:tuple|list|dict|union|nullable)\[|(?:str|int|float|bool)$")
_SECRET = re.compile(r"pass(word|phrase)?$|secret|token|private|credentials?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Shaped:
    """What the first pass made: the configuration, each target's options as its protocol's own model, and each
    listener's (``protocols.<name>``)."""

    config: Config
    options: Mapping[str, BaseModel]
    listeners: Mapping[str, BaseModel]


def shape(document: Document, directory: Path) -> tuple[Shaped | None, list[Problem]]:
    """First pass: every key, type and range; relative paths start at ``directory``. None when anything is off."""
    problems: list[Problem] = []
    config: Config | None = None
    try:
        config = Config.model_validate(document.value)
    except ValidationError as error:
        problems += translated(document, error, lambda location: location, Config)
    options: dict[str, BaseModel] = {}
    for name, section in _raw_targets(document):
        model, found = _options(document, name, section)
        problems += found
        if model is not None:
            options[name] = _absolute(model, directory)
    listeners, found = _listener_options(document, directory)
    problems += found
    if config is None or problems:
        return None, problems
    return Shaped(_absolute(config, directory), options, listeners), []


def references(shaped: Shaped, document: Document) -> list[Problem]:
    """Second pass: what one part says of another, and of files that a check needs.

    Keys, passwords and the seeds of local servers may be elsewhere than where the configuration is checked; whoever
    opens them says when they are missing.
    """
    config = shaped.config
    problems = [
        *_listening(config, document),
        *_issuers(config, document),
    ]
    for name, target in config.targets.items():
        at: Location = ("targets", name)
        if target.protocol not in config.listen:
            message = (
                f"nothing listens for {target.protocol}: nobody could reach this target; add listen.{target.protocol}"
            )
            problems.append(document.problem((*at, "protocol"), message))
        users = [credential.user for credential in target.credential]
        for user in sorted({user for user in users if users.count(user) > 1}):
            problems.append(document.problem((*at, "credential"), f"two credentials for user {user!r}; keep one"))
        for location, path in _files(shaped.options[name], ()):
            if not path.is_file():
                message = f"there is no file {path}; a relative path starts at the configuration directory"
                problems.append(document.problem(_standing(at, location), message))
    return problems


def _listening(config: Config, document: Document) -> Iterator[Problem]:
    for protocol, address in config.listen.items():
        if protocol not in registry.names():
            message = f"unknown protocol {protocol!r}; known are {', '.join(registry.names())}"
            yield document.problem(("listen", protocol), message)
        if config.tls is None and not _loopback(address.host) and not registry.encrypts(protocol):
            message = f"without tls the gateway listens on loopback only, not on {address.host}; add tls"
            yield document.problem(("listen", protocol), message)
    if config.tls is None and not config.insecure_local and not all(map(registry.encrypts, config.listen)):
        message = "without tls the agents' tokens travel in the clear; add tls, or insecure_local: true for one machine"
        yield document.problem(("insecure_local",), message)


def _issuers(config: Config, document: Document) -> Iterator[Problem]:
    seen: set[str] = set()
    for number, issuer in enumerate(config.identity.issuers):
        at: Location = ("identity", "issuers", number)
        if issuer.issuer in seen:
            yield document.problem((*at, "issuer"), f"issuer {issuer.issuer!r} is given twice; keep one")
        seen.add(issuer.issuer)
        try:
            issuer.rules()
        except ValueError as error:
            yield document.problem(at, str(error))
        try:
            check_address(issuer.jwks_url or issuer.issuer)
        except ValueError as error:
            key = "jwks_url" if issuer.jwks_url else "issuer"
            yield document.problem((*at, key), f"{key} cannot be fetched from: {error}")
    yield from _saml(config, document)


def _saml(config: Config, document: Document) -> Iterator[Problem]:
    entities: dict[str, str] = {}
    for name, provider in config.identity.saml.items():
        at: Location = ("identity", "saml", name)
        try:
            check_address(provider.sso_url)
        except ValueError as error:
            yield document.problem((*at, "sso_url"), f"sso_url is no place to send people: {error}")
        other = entities.setdefault(provider.entity_id, name)
        if other != name:
            yield document.problem((*at, "entity_id"), f"{other!r} is the same identity provider; keep one")
        if issuer_of(name) in {issuer.issuer for issuer in config.identity.issuers}:
            yield document.problem(at, f"an issuer has the name of its tokens, {issuer_of(name)!r}; rename one")


def _raw_targets(document: Document) -> Iterator[tuple[str, Mapping[str, Any]]]:
    targets = document.value.get("targets") if isinstance(document.value, dict) else None
    if isinstance(targets, dict):
        yield from ((name, section) for name, section in targets.items() if isinstance(section, dict))


def _options(document: Document, name: str, section: Mapping[str, Any]) -> tuple[BaseModel | None, list[Problem]]:
    """A target's ``options:`` and ``tls:`` by its protocol's model; ``tls`` is a field of it, but stands beside it."""
    at: Location = ("targets", name)
    protocol, own = section.get("protocol"), section.get("options", {})
    if not isinstance(protocol, str) or not isinstance(own, dict):
        return None, []  # the target's own shape says so already
    try:
        model = registry.options(protocol)
    except LookupError as error:
        return None, [document.problem((*at, "protocol"), str(error.args[0]))]
    if "tls" in own:
        return None, [document.problem((*at, "options", "tls"), "tls stands beside options, not inside; move it out")]
    values = own | ({"tls": section["tls"]} if section.get("tls") else {})

    try:
        return model.model_validate(values), []
    except ValidationError as error:
        return None, translated(document, error, lambda location: _standing(at, location), model)


def _listener_options(document: Document, directory: Path) -> tuple[dict[str, BaseModel], list[Problem]]:
    """``protocols.<name>`` by the folder's ``options.Gateway``; what is listened for must have what it needs."""
    value = document.value if isinstance(document.value, dict) else {}
    sections, listened = value.get("protocols"), value.get("listen")
    given = sections if isinstance(sections, dict) else {}
    names = [*given, *(name for name in (listened if isinstance(listened, dict) else {}) if name not in given)]
    listeners: dict[str, BaseModel] = {}
    problems: list[Problem] = []
    for name in names:
        at: Location = ("protocols", name)
        try:
            model = registry.listener_options(name)
        except LookupError as error:
            if name in given:
                problems.append(document.problem(at, str(error.args[0])))
            continue
        if model is None:
            if name in given:
                problems.append(document.problem(at, f"{name} has no settings of its own; remove it"))
            continue
        try:
            listeners[name] = _absolute(model.model_validate(given.get(name, {})), directory)
        except ValidationError as error:
            place = at if name in given else ("listen", name)
            problems += translated(document, error, lambda location, at=place: (*at, *location), model)  # type: ignore[misc]  # a lambda's default
    return listeners, problems


def _standing(target: Location, location: Location) -> Location:
    """Where the file has a field of a protocol's options: ``tls`` beside ``options``, everything else inside."""
    return (*target, *location) if location[:1] == ("tls",) else (*target, "options", *location)


def translated(
    document: Document, error: ValidationError, place: Callable[[Location], Location], model: type[BaseModel]
) -> list[Problem]:
    """pydantic's findings about a part of ``document`` that ``place`` says where to find, in our words."""
    problems = []
    errors = error.errors(include_url=False)
    for found in errors:
        location = found["loc"]
        if found["type"] == "too_short" and any(
            len(other["loc"]) > len(location) and other["loc"][: len(location)] == location for other in errors
        ):
            continue  # pydantic does not count items that have problems of their own
        key = str(location[-1]) if location else ""
        where = ".".join(str(step) for step in _named(document, place(location)))
        match found["type"]:
            case "extra_forbidden":
                message = f"unknown key {key!r}{_advice(key, model)}"
            case "missing":
                message = f"{where} is missing; add it"
            case "too_short":
                message = f"{where} is empty; name at least one"
            case "value_error":
                message = f"{where}: {found['ctx']['error']}"
            case kind:
                # What stands where a secret's whereabouts belong may be the secret itself: it is not repeated.
                given = "" if _SECRET.search(where) or "password" in where else f", not {found['input']!r:.80}"
                words = _SHAPES.get(kind, f"{found['msg'][:1].lower()}{found['msg'][1:]}")
                message = f"{where or 'the file'}: {words}{given}"
        problems.append(document.problem(place(location), message))
    return problems


def _named(document: Document, location: Location) -> Iterator[str | int]:
    """A place's steps as the file has them: pydantic also names the kinds of value that it tried there."""
    path: Location = ()
    for step in location:
        path = (*path, step)
        if not (isinstance(step, str) and _KIND_OF_VALUE.match(step)) or path in document.places:
            yield step


def _advice(key: str, model: type[BaseModel]) -> str:
    if _SECRET.search(key):
        return ": secrets never stand in this file; say where one is kept (password_env, password_file)"
    close = difflib.get_close_matches(key, sorted(_field_names(model)), n=1)
    return f"; did you mean {close[0]!r}?" if close else "; remove it"


def _field_names(model: type[BaseModel]) -> set[str]:
    """Every field name anywhere in a model: good enough to guess what was meant."""
    schema = model.model_json_schema()
    parts = [schema, *schema.get("$defs", {}).values()]
    return {name for part in parts for name in part.get("properties", {})}


def _absolute(value: Any, directory: Path) -> Any:  # noqa: ANN401  a walk over whatever a model may hold
    """The same value, every relative path in it made relative to ``directory``."""
    if isinstance(value, Path):
        return directory / value
    if isinstance(value, BaseModel):
        return value.model_copy(update={name: _absolute(item, directory) for name, item in value})
    if isinstance(value, tuple):
        return tuple(_absolute(item, directory) for item in value)
    if isinstance(value, dict):
        return {name: _absolute(item, directory) for name, item in value.items()}
    return value


def _files(section: BaseModel, at: Location) -> Iterator[tuple[Location, Path]]:
    """The files a section names, and where it names them."""
    for name, value in section:
        if isinstance(value, Path):
            yield (*at, name), value
        elif isinstance(value, BaseModel):
            yield from _files(value, (*at, name))


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
