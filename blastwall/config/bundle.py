"""What the gateway runs on: validated configuration, policies and risk, under one version."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

from blastwall.approvals import Ballot, routed_to
from blastwall.approvals.bounds import unbounded
from blastwall.config.document import Document, read_document
from blastwall.config.loader import references, shape
from blastwall.config.masking import FILE as MASKING
from blastwall.config.masking import NONE, Masking, load_masking, with_key
from blastwall.config.model import Config, TargetSection
from blastwall.errors import ConfigFault, Problem
from blastwall.model import ApprovalRequest, Denial, DenialCode, Principal, Target
from blastwall.policy.decide import Policies
from blastwall.policy.risk import RiskTable
from blastwall.ports import MaskingKey

GATEWAY = "gateway.yaml"
RISK = "risk.toml"
POLICIES = "policies"
LARGEST = 4 * 1024 * 1024  # bytes of one file


@dataclass(frozen=True, slots=True)
class Bundle:
    """``targets`` are the house's own values; ``config`` keeps what only a deliverable needs (credentials, TLS, local).

    ``listeners`` are the protocols' own sections (``protocols.<name>``), each as its folder's ``options.Gateway``.
    ``version`` is the SHA-256 (hex) over the configuration as merged, the policy version and the masking rules.
    """

    config: Config
    policies: Policies
    targets: Mapping[str, Target]
    version: str
    listeners: Mapping[str, BaseModel] = field(default_factory=dict)
    masking: Masking = NONE

    def with_masking_key(self, environ: Mapping[str, str], own: MaskingKey | None = None) -> Bundle:
        """The same with targets that can hash and fake, where their rules ask for it: what a gateway needs to start.

        ``own`` is the deployment's key, for a masking.yaml that names none. Raises ConfigFault when a key is needed
        and cannot be had.
        """
        masking = with_key(self.masking, environ, own)
        targets = {name: replace(each, masking=masking.rules.get(name)) for name, each in self.targets.items()}
        return replace(self, masking=masking, targets=MappingProxyType(targets))

    def may_decide(self, approver: Principal, request: ApprovalRequest, ballot: Ballot, now: float) -> Denial | None:
        """``Policies.may_approve`` for the request's own target, and the groups that may be asked by now.

        A target that is gone cannot be decided for.
        """
        target = self.targets.get(request.target)
        if target is None:
            reason = f"the request is for {request.target!r}, which is no longer configured"
            return Denial(DenialCode.POLICY, reason, "Let it expire, or give the gateway's own --config.")
        asked = replace(request, approvers=routed_to(request, now))
        without_bound = ballot.approve and unbounded(request, ballot.rows)
        return self.policies.may_approve(approver, asked, target, ballot.grant_seconds, without_bound)


def load_bundle(path: Path, overrides: Mapping[str, Any] | None = None, origin: str = "overrides") -> Bundle:
    """Load the configuration directory ``path``: gateway.yaml, policies/*.cedar, and masking.yaml and risk.toml
    if they are there.

    ``overrides`` has gateway.yaml's shape; its mappings are merged into the file's, anything else replaces. ``origin``
    names it in problems. Raises ConfigFault with every problem at once.
    """
    problems: list[Problem] = []
    directory = path.absolute()
    document = _document(path, problems)
    shaped = None
    if document is not None:
        document.override(overrides or {}, origin)
        shaped, found = shape(document, directory)
        problems += found
    if shaped is not None and document is not None:
        problems += references(shaped, document)
    policies = _policies(path, problems)
    if shaped is not None and policies is not None:
        problems += _unknown_targets(path, policies, shaped.config)
    masking = _masking(path, None if shaped is None else shaped.config.targets, problems)
    if problems or document is None or shaped is None or policies is None:
        raise ConfigFault(tuple(sorted(problems, key=lambda problem: (problem.file, problem.line))))
    targets = {
        name: replace(_target(name, section, shaped.options[name]), masking=masking.rules.get(name))
        for name, section in shaped.config.targets.items()
    }
    whole = [document.value, policies.version, *([masking.value] if masking.document is not None else [])]
    version = hashlib.sha256(json.dumps(whole, sort_keys=True, default=str).encode()).hexdigest()
    listeners = MappingProxyType(dict(shaped.listeners))
    return Bundle(shaped.config, policies, MappingProxyType(targets), version, listeners, masking)


def _masking(path: Path, targets: Mapping[str, TargetSection] | None, problems: list[Problem]) -> Masking:
    file = path / MASKING
    text = _read(file, problems) if file.exists() else None
    if text is None:
        return NONE
    try:
        return load_masking(text, file, targets)
    except ConfigFault as fault:
        problems += fault.problems
        return NONE


def _document(path: Path, problems: list[Problem]) -> Document | None:
    file = path / GATEWAY
    text = _read(file, problems)
    if text is None:
        return None
    try:
        return read_document(text, str(file))
    except ConfigFault as fault:
        problems += fault.problems
        return None


def _policies(path: Path, problems: list[Problem]) -> Policies | None:
    risk = _risk(path / RISK, problems)
    folder = path / POLICIES
    texts = {f"{POLICIES}/{file.name}": _read(file, problems) for file in sorted(folder.glob("*.cedar"))}
    if not texts:
        problems.append(Problem(str(folder), 0, "no .cedar file here, so nothing would be permitted; add one"))
        return None
    readable = {name: text for name, text in texts.items() if text is not None}
    try:
        return Policies.load(readable, risk) if len(readable) == len(texts) else None
    except ConfigFault as fault:
        problems += (Problem(str(path / problem.file), problem.line, problem.message) for problem in fault.problems)
        return None


def _risk(file: Path, problems: list[Problem]) -> RiskTable:
    if file.exists():
        text = _read(file, problems)
        try:
            if text is not None:
                return RiskTable.load(text, str(file))
        except ConfigFault as fault:
            problems += fault.problems
    return RiskTable.shipped()


def _unknown_targets(path: Path, policies: Policies, config: Config) -> list[Problem]:
    known = ", ".join(sorted(config.targets))
    return [
        Problem(str(path / rule.file), rule.line, f"{rule.id}: there is no target {name!r}; known are {known}")
        for rule in policies.rules.values()
        for name in rule.targets
        if name not in config.targets and name not in config.aws_roles
    ]


def _read(file: Path, problems: list[Problem]) -> str | None:
    try:
        with file.open("rb") as stream:
            content = stream.read(LARGEST + 1)
        if len(content) > LARGEST:
            problems.append(Problem(str(file), 0, f"larger than {LARGEST} bytes"))
            return None
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problems.append(Problem(str(file), line, "not UTF-8; save it as UTF-8"))
    except OSError as error:
        problems.append(
            Problem(str(file), 0, f"cannot be read: {error.strerror}; is this the configuration directory?")
        )
    return None


def _target(name: str, section: TargetSection, options: BaseModel) -> Target:
    return Target(
        name=name,
        protocol=section.protocol,
        host=section.host,
        port=section.port,
        labels=MappingProxyType(dict(section.labels)),
        mode=section.mode,
        recording=section.recording,
        durability=section.durability,
        hold_seconds=section.hold_seconds,
        outlive_token_minutes=section.outlive_token_minutes,
        linger_minutes=section.linger_minutes,
        agent_connections=section.agent_connections,
        budgets=MappingProxyType(section.budgets.model_dump(exclude_none=True)),
        options=options,
    )
