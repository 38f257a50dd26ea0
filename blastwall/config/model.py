"""The shape of gateway.yaml. Anything not listed here is refused; secrets are never in it, only where to find them."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StringConstraints,
    model_validator,
)

from blastwall.approvals.notices import Channels, Hook, SlackChannel
from blastwall.config.credentials import AwsRole, Credentials
from blastwall.identity.claims import ClaimNames
from blastwall.identity.jwt import MAX_LEEWAY, IssuerRules
from blastwall.identity.saml_certificate import certified
from blastwall.identity.saml_token import rules_of

Text = Annotated[str, StringConstraints(min_length=1, max_length=512)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
Port = Annotated[StrictInt, Field(ge=0, le=65535)]
Network = Annotated[str, AfterValidator(lambda text: str(ipaddress.ip_network(text)))]
Minutes = Annotated[StrictFloat, Field(ge=0, le=7 * 24 * 60)]
Certificate = Annotated[str, StringConstraints(max_length=16_384), AfterValidator(certified)]


class Section(BaseModel):
    """A part of the configuration: frozen, and nothing unknown in it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Address(Section):
    """Where a listener listens. Written ``127.0.0.1:7432`` or ``[::1]:7432``; port 0 takes any free one."""

    host: Text
    port: Port

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        host, colon, port = value.rpartition(":")
        if not colon or not port.isascii() or not port.isdecimal():
            raise ValueError("write host:port, such as 127.0.0.1:7432 or [::1]:7432")
        return {"host": host.removeprefix("[").removesuffix("]"), "port": int(port)}


class ListenerTls(Section):
    """The gateway's own certificate (PEM, with its chain) and key; paths start at the configuration directory."""

    certificate: Path
    key: Path


class Claims(Section):
    """Which claims name the agent, its groups and the person it works for; dotted paths reach into objects.

    ``groups`` is one claim that lists them; or several claims, whose values become groups ``claim=value``.
    """

    agent: Text = "agent"
    groups: Text | tuple[Text, ...] = "groups"
    on_behalf_of: Text | None = "on_behalf_of"


class Issuer(Section):
    """An identity provider whose tokens are accepted. ``jwks_url`` left out: found by OpenID Connect discovery."""

    issuer: Text
    audience: Text
    audience_claim: Literal["aud", "client_id"] = "aud"
    jwks_url: Text | None = None
    algorithms: Annotated[tuple[Text, ...], Field(min_length=1)] = ("ES256", "EdDSA")
    typ: Annotated[tuple[str, ...], Field(min_length=1)] = ("at+jwt", "JWT")
    max_lifetime_minutes: Annotated[StrictFloat, Field(gt=0, le=24 * 60)] = 720.0
    clock_leeway_seconds: Annotated[StrictFloat, Field(ge=0, le=MAX_LEEWAY)] = MAX_LEEWAY
    keys_max_age_minutes: Annotated[StrictFloat, Field(gt=0, le=24 * 60)] = 360.0
    keys_min_refresh_seconds: Annotated[StrictFloat, Field(ge=1, le=3600)] = 15.0
    claims: Claims = Claims()

    def rules(self) -> IssuerRules:
        """The same, as the verifier takes it. Raises ValueError when a rule would open more than it closes."""
        return IssuerRules(
            issuer=self.issuer,
            audience=self.audience,
            algorithms=frozenset(self.algorithms),
            types=frozenset(self.typ),
            claims=ClaimNames(self.claims.agent, self.claims.groups, self.claims.on_behalf_of),
            leeway=self.clock_leeway_seconds,
            max_lifetime=self.max_lifetime_minutes * 60,
            audience_claim=self.audience_claim,
        )


class SamlClaims(Section):
    """Which attributes of an assertion name the agent, its groups and the person; NameID is the subject's own name."""

    agent: Text = "NameID"
    groups: Text | tuple[Text, ...] = "groups"
    on_behalf_of: Text | None = "NameID"


class SamlProvider(Section):
    """A SAML 2.0 identity provider. People sign in there and get a token of the gateway's own (``blastwall login``).

    ``entity_id``, ``sso_url`` (HTTP-Redirect) and ``certificates`` are those of its metadata; several certificates
    for a change of keys. ``service`` is what it calls the gateway (left out: PAGE/saml/NAME). ``signed``: what it must
    sign.
    """

    entity_id: Text
    sso_url: Text
    certificates: Annotated[tuple[Certificate, ...], Field(min_length=1, max_length=4)]
    service: Text | None = None
    signed: Literal["any", "response", "assertion", "both"] = "any"
    max_lifetime_minutes: Annotated[StrictFloat, Field(ge=1, le=12 * 60)] = 60.0
    claims: SamlClaims = SamlClaims()


class Identity(Section):
    """Whose tokens open the gateway; and by ``saml``, who gets tokens of its own."""

    issuers: Annotated[tuple[Issuer, ...], Field(min_length=1)]
    saml: dict[Name, SamlProvider] = Field(default_factory=dict)

    def saml_rules(self) -> tuple[IssuerRules, ...]:
        """How the verifier takes the gateway's own tokens: an issuer for each SAML provider."""
        return tuple(rules_of(name, one.max_lifetime_minutes * 60) for name, one in self.saml.items())


class BreakGlass(Section):
    """Who may open a break-glass session by giving a reason. What it may do then is policy's affair."""

    groups: tuple[Text, ...] = ()


class Local(Section):
    """For ``blastwall up`` only: start a server of this kind for the target and fill it from ``seed`` (SQL, or a
    directory of files for the home directory of an OpenSSH host)."""

    engine: Literal["postgres", "openssh"]
    seed: Path | None = None


class Budgets(Section):
    """What one session may use. Left out: unlimited."""

    rows: Annotated[StrictInt, Field(gt=0)] | None = None
    bytes: Annotated[StrictInt, Field(gt=0)] | None = None
    statements: Annotated[StrictInt, Field(gt=0)] | None = None


class TargetSection(Section):
    """One thing agents reach. ``options`` and ``tls`` are the protocol folder's own and validated by its model.

    Several credentials: the first is the default, the others serve clients that ask for their user. ``networks`` are
    the CIDR ranges where ``host`` may be: in AWS nothing else can be reached (left out: the gateway's own VPC).
    """

    protocol: Name
    host: Text
    port: Annotated[StrictInt, Field(ge=1, le=65535)]
    networks: tuple[Network, ...] = ()
    labels: dict[Text, Text] = Field(default_factory=dict)
    mode: Literal["enforce", "observe"] = "enforce"
    recording: Literal["strict", "best_effort"] = "strict"
    durability: Literal["kernel", "power_loss"] = "kernel"
    hold_seconds: Annotated[StrictFloat, Field(ge=0, le=3600)] = 60.0
    outlive_token_minutes: Minutes = 0.0
    linger_minutes: Minutes = 5.0
    agent_connections: Annotated[StrictInt, Field(ge=1, le=2000)] = 64
    budgets: Budgets = Budgets()
    credential: Credentials
    tls: dict[str, Any] = Field(default_factory=dict)
    options: dict[str, Any] = Field(default_factory=dict)
    local: Local | None = None


EnvironmentName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class Escalation(Section):
    """Whom else to ask when nobody has decided ``after_seconds`` after the request was made."""

    after_seconds: Annotated[StrictFloat, Field(ge=1, le=24 * 3600)] = 120.0
    groups: Annotated[tuple[Text, ...], Field(min_length=1)]


class AskingLimits(Section):
    """How much one agent may ask of people: waiting at once, by session and in all; asked and denied in 10 minutes."""

    session: Annotated[StrictInt, Field(gt=0, le=1000)] = 32
    waiting: Annotated[StrictInt, Field(gt=0, le=1000)] = 64
    asked: Annotated[StrictInt, Field(gt=0, le=10_000)] = 120
    denials: Annotated[StrictInt, Field(gt=0, le=1000)] = 10


class Webhook(Section):
    """Whom to tell by a signed POST. ``secret_env`` names the variable with the key of the signature."""

    url: Text
    secret_env: EnvironmentName


class SlackPerson(Section):
    """Who a Slack user is to policy. Slack vouches for the user, this line for the rest."""

    subject: Text
    groups: Annotated[tuple[Text, ...], Field(min_length=1)]


class Slack(Section):
    """Where to tell it in Slack: a channel by a bot's token (its messages are updated after the decision).

    With ``signing_secret_env`` and ``people`` those people can also decide by the message's buttons.
    """

    channel: Text
    token_env: EnvironmentName
    signing_secret_env: EnvironmentName | None = None
    people: dict[Text, SlackPerson] = Field(default_factory=dict)


class Notify(Section):
    """Whom to tell that somebody is waited for. On AWS an SNS topic is told as well, when there is one."""

    webhooks: tuple[Webhook, ...] = ()
    slack: Slack | None = None

    def channels(self) -> Channels:
        """The same, as the notifier takes it."""
        slack = self.slack
        place = None
        if slack is not None:
            answers = slack.signing_secret_env is not None and bool(slack.people)
            place = SlackChannel(slack.channel, slack.token_env, answers)
        return Channels(tuple(Hook(hook.url, hook.secret_env) for hook in self.webhooks), place)


class SignIn(Section):
    """OpenID Connect sign-in (authorization code with PKCE) on the approval page, at one of ``identity.issuers``."""

    issuer: Text
    client_id: Text
    client_secret_env: EnvironmentName | None = None
    scopes: Annotated[tuple[Text, ...], Field(min_length=1)] = ("openid", "profile")


class Page(Section):
    """The approval page: where ``blastwall up`` serves it, and where people reach it (left out: the same address)."""

    listen: Address = Address(host="127.0.0.1", port=7481)
    url: Annotated[str, StringConstraints(pattern=r"^https?://[^/?#\s]+(/[^?#\s]*)?$", max_length=512)] | None = None
    sign_in: SignIn | None = None


class Rows(Section):
    """How many rows an approved change may touch: those counted before it was asked about, times ``factor``, and
    ``extra``. Others write meanwhile.
    """

    factor: Annotated[StrictFloat, Field(ge=1, le=100)] = 1.1
    extra: Annotated[StrictInt, Field(ge=0, le=1_000_000)] = 10


class Undo(Section):
    """Keep what an approved UPDATE or DELETE touches as it was, if that is at most ``rows`` rows (0: nothing)."""

    rows: Annotated[StrictInt, Field(ge=0, le=10_000)] = 0


class Approvals(Section):
    """How people are asked. Who may decide is policy's affair.

    A request lives ``ticket_seconds`` (at most as long as its session).
    """

    ticket_seconds: Annotated[StrictFloat, Field(ge=10, le=24 * 3600)] = 900.0
    escalation: Escalation | None = None
    limits: AskingLimits = AskingLimits()
    rows: Rows = Rows()
    undo: Undo = Undo()
    notify: Notify = Notify()
    page: Page = Page()


class Config(Section):
    """gateway.yaml."""

    version: Literal[1]
    listen: Annotated[dict[Name, Address], Field(min_length=1)]
    tls: ListenerTls | None = None
    insecure_local: StrictBool = False
    identity: Identity
    break_glass: BreakGlass = BreakGlass()
    approvals: Approvals = Approvals()
    protocols: dict[Name, dict[str, Any]] = Field(default_factory=dict)  # what a listener needs, by its folder's model
    targets: Annotated[dict[Name, TargetSection], Field(min_length=1)]
    aws_roles: dict[Name, AwsRole] = Field(default_factory=dict)
