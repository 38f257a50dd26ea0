"""Functions, operators, types and casts: whether a name is PostgreSQL's own, and what it may do.

PostgreSQL picks among overloads by argument types, which are not inferred here. So an added function, operator or cast
of the same name counts as soon as it could be picked: at once when all its argument types are PostgreSQL's own (or
polymorphic); otherwise when the statement touches one of the added types it takes (``Walk.hazards``, settled at the
end of the walk).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from blastwall.model import Effect
from blastwall.sql.additions import additions, custom, shown_types
from blastwall.sql.builtins import builtins
from blastwall.sql.catalogue import SYSTEM_SCHEMA, TEMP_SCHEMA, Catalogue, Function, Type, clip
from blastwall.sql.families import may_be
from blastwall.sql.functions import Builtin, function_table
from blastwall.sql.resolve import INFORMATION_SCHEMA
from blastwall.sql.tree import Message, strings
from blastwall.sql.walk import Walk

_LIST_HINT = "the target's owner can list it as allowed"
_TYPE_DEPTH = 8
_JSON = frozenset({114, 3802})  # json and jsonb: to_json and its kin use any cast to them


def judge_function(
    walk: Walk, path: list[str], arguments: int | None, families: Callable[[], list[str]] = list
) -> Builtin | None:
    """Judge a call by name and number of arguments (None: it varies). Returns PostgreSQL's own function, if it is that.

    ``families`` gives the arguments' families when there is an overload to tell from (families.py).
    """
    path = [clip(name) for name in path]
    name, schema = path[-1], path[-2] if len(path) == 2 else None
    if len(path) > 2:
        walk.unknown(f"Calls {'.'.join(path)}, a name of three parts.", "unknown_function")
        return None
    if schema == SYSTEM_SCHEMA and name == "json_object" and walk.major < 16:
        schema = None  # the grammar writes the schema; such a server would search for it
    if schema is None or schema == SYSTEM_SCHEMA:
        return _judge_unqualified(walk, schema, name, arguments, families)
    shown = f"{schema}.{name}"
    walk.ledger.touch("function", shown, "call")
    table = function_table()
    if schema == INFORMATION_SCHEMA and name in table.information_schema:
        return None
    if table.reaches_beyond(schema, name):
        walk.ledger.raise_to(Effect.ADMINISTER, f"Calls {shown}, which {table.extension.says}.", table.extension.flag)
    elif schema != INFORMATION_SCHEMA and not schema.startswith(TEMP_SCHEMA) and walk.surroundings.allows(schema, name):
        walk.ledger.flags.add("allowed_function")
        walk.ledger.raise_to(Effect.READ, "")
    else:
        walk.unknown(f"Calls the function {shown}, which PostgreSQL did not ship; {_LIST_HINT}.", "user_function")
    return None


def _judge_unqualified(
    walk: Walk, schema: str | None, name: str, arguments: int | None, families: Callable[[], list[str]]
) -> Builtin | None:
    table = function_table()
    builtin = table.find(name, walk.major)
    catalogue = walk.surroundings.catalogue
    added: tuple[Function, ...] = ()
    if catalogue is not None and catalogue.visible_shadows(name):
        added = catalogue.functions(schema, name, walk.surroundings.search_path)
    if builtin is not None:
        category = builtin.category
        if category.effect is not Effect.READ:
            walk.ledger.touch("function", f"{SYSTEM_SCHEMA}.{name}", "call")
        if category.flag:
            walk.ledger.flags.add(category.flag)
        walk.ledger.raise_to(category.effect, f"Calls {name}, which {category.says}.")
        if added and not (arguments == 0 and builtin.bare and SYSTEM_SCHEMA not in walk.surroundings.search_path):
            _look_for_overloads(walk, name, added, arguments, families())
        return builtin
    if arguments == 1 and not added and name in builtins().types:
        judge_type_path(walk, [name] if schema is None else [schema, name])  # uuid('...') is a cast
        return None
    where = _allowed_place(walk, name, added)
    shown = where or (f"{added[0].schema}.{name}" if added else name)
    walk.ledger.touch("function", shown, "call")
    if table.reaches_beyond(added[0].schema if added else None, name):
        walk.ledger.raise_to(Effect.ADMINISTER, f"Calls {shown}, which {table.extension.says}.", table.extension.flag)
    elif where:
        walk.ledger.flags.add("allowed_function")
    elif added:
        walk.unknown(f"Calls the function {shown}, which PostgreSQL did not ship; {_LIST_HINT}.", "user_function")
    else:
        walk.unknown(
            f"Calls {name}, a function that PostgreSQL {walk.major} does not ship and the catalogue does not know.",
            "unknown_function",
        )
    return None


def _allowed_place(walk: Walk, name: str, added: tuple[Function, ...]) -> str:
    """The qualified name under which the owner allows every function the name can reach; "" when that is not so."""
    surroundings = walk.surroundings
    if surroundings.catalogue is not None:
        allowed = bool(added) and all(surroundings.allows(each.schema, each.name) for each in added)
        return f"{added[0].schema}.{name}" if allowed else ""
    return next((f"{place}.{name}" for place in surroundings.search_path if surroundings.allows(place, name)), "")


def _look_for_overloads(
    walk: Walk, name: str, added: Iterable[Function], arguments: int | None, families: list[str]
) -> None:
    catalogue = walk.surroundings.catalogue
    for function in added:
        if walk.surroundings.allows(function.schema, function.name) or not _takes(function, arguments):
            continue
        if catalogue is not None and not function.variadic and not may_be(families, catalogue, function.arg_types):
            continue
        reason = f"Calls {name}, which the function {function.schema}.{name} of this database may replace"
        _hazard(walk, function.arg_types, reason, "shadowed_function")


def _takes(function: Function, arguments: int | None) -> bool:
    if arguments is None or function.variadic:
        return True
    return len(function.arg_types) - function.default_count <= arguments <= len(function.arg_types)


def _hazard(walk: Walk, takes: Iterable[int], reason: str, flag: str) -> None:
    """``takes`` are its argument types: an added one counts when the statement touches it, or what it is made of."""
    catalogue = walk.surroundings.catalogue
    types = custom(_base(catalogue, oid) for oid in takes)
    if types:
        made = (catalogue.type_by_oid(oid) for oid in types) if catalogue is not None else ()
        elements = custom(each.element_oid for each in made if each is not None)  # ARRAY[x] is an array of its type
        walk.hazards.append((types | elements, reason, flag))
    else:
        walk.unknown(f"{reason}; {_LIST_HINT}, or write it with its schema.", flag)


def _base(catalogue: Catalogue | None, oid: int) -> int:
    """What a domain is made of: values of that are taken for the domain's without being asked. Others as they are."""
    for _ in range(_TYPE_DEPTH):
        found = catalogue.type_by_oid(oid) if catalogue is not None else None
        if found is None or found.kind != "d":
            break
        oid = found.base_oid
    return oid


def settle_hazards(walk: Walk) -> None:
    """Judge what depends on the types the whole statement touches. Call it once, after the walk."""
    catalogue = walk.surroundings.catalogue
    if catalogue is None:
        return
    for added in additions(catalogue).casts:
        explicit = added.cast.context == "e" and added.cast.target not in _JSON
        if explicit or walk.surroundings.allows(*added.function):
            continue
        reason = f"May convert {added.shown}, for which the database runs the function {'.'.join(added.function)}"
        if not added.custom or added.custom & walk.type_oids:
            walk.unknown(f"{reason}; {_LIST_HINT}.", "user_cast")
    for types, reason, flag in walk.hazards:
        touched = types & walk.type_oids
        if touched:
            walk.unknown(f"{reason} (on {shown_types(catalogue, touched)}); {_LIST_HINT}.", flag)


def judge_operator(walk: Walk, path: list[str], families: Callable[[], list[str]] = list) -> None:
    """Judge an operator by its name, qualified or not; ``families`` as in :func:`judge_function`, left before right."""
    name, schema = path[-1], path[0] if len(path) == 2 else None
    surroundings = walk.surroundings
    known = name in builtins().operators
    if len(path) > 2 or (schema not in (None, SYSTEM_SCHEMA)):
        if len(path) == 2 and surroundings.allows(path[0], name):
            walk.ledger.flags.add("allowed_function")
            return
        walk.unknown(
            f"Uses the operator {'.'.join(path)}, which PostgreSQL did not ship; {_LIST_HINT}.", "user_operator"
        )
        return
    catalogue = surroundings.catalogue
    reachable = {SYSTEM_SCHEMA} if schema else {SYSTEM_SCHEMA, *surroundings.search_path}
    added = [each for each in additions(catalogue).operators(name) if each.schema in reachable] if catalogue else []
    foreign = [each for each in added if not surroundings.allows(each.schema, name)]
    if not known:
        if added and not foreign:
            walk.ledger.flags.add("allowed_function")
        elif catalogue is not None or not any(surroundings.allows(place, name) for place in surroundings.search_path):
            walk.unknown(f"Uses the operator {name}, which PostgreSQL did not ship; {_LIST_HINT}.", "user_operator")
        return
    sides = families() if foreign else []
    for operator in foreign:
        taken = tuple(oid for oid in (operator.left, operator.right) if oid)
        if catalogue is not None and sides and (len(sides) != len(taken) or not may_be(sides, catalogue, taken)):
            continue
        reason = f"Uses the operator {name}, which {operator.schema}.{name} of this database may replace"
        _hazard(walk, (operator.left, operator.right), reason, "user_operator")


def judge_type(walk: Walk, name: Message) -> Type | None:
    """Judge a TypeName that a value is converted to or declared as. Returns the catalogue's type where there is one."""
    path = [clip(each) for each in strings(name.names)]
    if name.pct_type or not path or len(path) > 2:
        walk.unknown(f"Names the type {'.'.join(path)} in a way the gateway does not follow.", "user_type")
        return None
    return judge_type_path(walk, path)


def judge_type_path(walk: Walk, path: list[str]) -> Type | None:
    """As :func:`judge_type`, for a name of one or two parts."""
    name, schema = path[-1], path[0] if len(path) == 2 else None
    surroundings = walk.surroundings
    catalogue = surroundings.catalogue
    if schema is None and name in walk.temp:
        walk.unknown(f"Names the type {name}, which a temporary relation of the same name stands before.", "user_type")
        return None
    found = catalogue.type(schema, name, surroundings.search_path, temp=False) if catalogue is not None else None
    place = found.schema if found is not None else schema
    if place == SYSTEM_SCHEMA or (place is None and catalogue is None):
        base = name if name in builtins().types else name.removeprefix("_")
        if base not in builtins().types and not (place is None and _allowed_type_place(walk, name)):
            walk.unknown(f"Converts to the type {name}, which is on no list of types.", "user_type")
        else:
            _look_for_casts(walk, found)
        return found
    if place == INFORMATION_SCHEMA and name in builtins().information_schema_types:
        return found
    if found is not None:
        _judge_added_type(walk, found)
        return found
    if schema is not None and catalogue is None and surroundings.allows(schema, name):
        walk.ledger.flags.add("allowed_function")
        return None
    walk.unknown(f"Converts to the type {'.'.join(path)}, which is not PostgreSQL's own; {_LIST_HINT}.", "user_type")
    return None


def judge_parameter_types(walk: Walk, oids: Iterable[int]) -> None:
    """Judge the types that a client declares its parameters to have, by oid: the server runs their input functions and
    checks when values are bound, and picks overloads by them.
    """
    catalogue = walk.surroundings.catalogue
    for oid in sorted(custom(oids)):
        found = catalogue.type_by_oid(oid) if catalogue is not None else None
        if found is None:
            walk.unknown(f"Declares a parameter of a type that the catalogue does not know (oid {oid}).", "user_type")
        else:
            _judge_added_type(walk, found)


def _allowed_type_place(walk: Walk, name: str) -> bool:
    surroundings = walk.surroundings
    return any(surroundings.allows(place, name) for place in surroundings.search_path)


def _judge_added_type(walk: Walk, type_: Type) -> None:
    catalogue = walk.surroundings.catalogue
    walk.type_oids.add(type_.oid)
    if catalogue is not None:
        walk.type_oids |= additions(catalogue).parts(catalogue, type_.oid)
    problem = _added_type_problem(walk, type_, 0)
    if problem:
        walk.unknown(f"Converts to {type_.schema}.{type_.name}, {problem}; {_LIST_HINT}.", "user_type")
    _look_for_casts(walk, type_)


def _added_type_problem(walk: Walk, type_: Type, depth: int) -> str:
    """Why values of a type cannot be made without running code that nobody reviewed; "" when they can."""
    catalogue = walk.surroundings.catalogue
    if type_.schema == SYSTEM_SCHEMA:
        return ""
    if walk.surroundings.allows(type_.schema, type_.name):
        walk.ledger.flags.add("allowed_function")
        return ""
    if type_.kind == "e":
        return ""
    if catalogue is None or depth > _TYPE_DEPTH:
        return "which cannot be followed to its parts"
    if type_.element_oid:
        element = catalogue.type_by_oid(type_.element_oid)
        return _added_type_problem(walk, element, depth + 1) if element is not None else "whose element type is unknown"
    if type_.kind == "c":
        relation = catalogue.relation_by_oid(type_.relation_oid)
        parts = (
            [catalogue.type_by_oid(column.type_oid) for column in relation.columns] if relation is not None else [None]
        )
        for part in parts:
            problem = _added_type_problem(walk, part, depth + 1) if part is not None else "whose fields are unknown"
            if problem:
                return problem
        return ""
    if type_.kind == "d":
        return "a domain, whose checks run code"
    return "a type that PostgreSQL did not ship"


def _look_for_casts(walk: Walk, target: Type | None) -> None:
    catalogue = walk.surroundings.catalogue
    if catalogue is None or target is None:
        return
    wanted = {target.oid, target.element_oid} - {0}
    for added in additions(catalogue).casts:
        if added.cast.target in wanted and not walk.surroundings.allows(*added.function):
            reason = f"Converts {added.shown}, for which the database runs the function {'.'.join(added.function)}"
            _hazard(walk, (added.cast.source,), reason, "user_cast")


def callable_by_attribute(walk: Walk, name: str, *, row: bool) -> bool:
    """Whether ``x.name`` could be a function call; ``row`` when x is certainly a row of a relation."""
    table = function_table()
    if table.callable_on_row(name) or (not row and table.callable_on_value(name)):
        return True
    catalogue = walk.surroundings.catalogue
    return catalogue is not None and catalogue.visible_shadows(name)


def judge_attribute_call(walk: Walk, name: str, what: str) -> None:
    """``what`` spells something that may be a call of ``name``: as bad as the call, and at least unknown."""
    builtin = function_table().find(name, walk.major)
    if builtin is not None and builtin.category.effect is not Effect.READ:
        walk.ledger.flags.add("attribute_call")
        walk.ledger.raise_to(
            Effect.ADMINISTER,
            f"Calls {name} by attribute notation, which {builtin.category.says}.",
            builtin.category.flag,
        )
        return
    walk.unknown(
        f"Writes {what}, which is no column of it: PostgreSQL would call a function named {name}. "
        f"Name a column, or write {name}(...).",
        "attribute_call",
    )
