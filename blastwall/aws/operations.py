"""What operators do to a deployment from their own machine, with AWS credentials of their own.

The tables are the ones that the gateways look at every half second, so a kill or a lock acts within that. What needs a
right that no operator should hold (to answer a waiting approval, to rewrite the policy of ended sessions) is asked of
the function that holds it. What their IAM policy must allow is in docs/credentials.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from email.utils import parsedate_to_datetime
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from blastwall.approvals import Ballot, Filed
from blastwall.aws.approvals import ApprovalTable
from blastwall.aws.clients import client
from blastwall.aws.functions import Functions
from blastwall.aws.leases import AwsLeases
from blastwall.aws.sessions import SessionTable
from blastwall.aws.standing import Standing
from blastwall.credentials.desk import raised
from blastwall.credentials.lease import Lease, LeaseState
from blastwall.errors import ClientFault, OurFault
from blastwall.model import Denial, DenialCode, Secret, Session
from blastwall.ports import Clock
from blastwall.settings import OperatorSettings

#: Outputs of the stack that holds the tables, by the setting that each is for.
OUTPUTS: Final[Mapping[str, str]] = {
    "sessions_table": "SessionsTableName",
    "leases_table": "LeasesTableName",
    "approvals_table": "ApprovalsTableName",
}
#: The stacks give functions fixed names: the deployment's, a hyphen and the function's.
FUNCTIONS: Final[Mapping[str, str]] = {
    "approval_decide_function": "approval-decide",
    "session_revoker_function": "session-revoker",
}

Client = Callable[[str], Any]
#: A header tells whole seconds, some of them on its way: a clock this close to it is right.
EXACT_SECONDS: Final = 5.0


def find(stack: str, given: OperatorSettings, make: Client) -> OperatorSettings:
    """The names of a deployment's tables and functions: those that are given, the others out of its stacks.

    Raises ClientFault saying what to do when the deployment is not found.
    """
    known = asdict(given)
    if any(not known[name] for name in OUTPUTS):
        try:
            found = make("cloudformation").describe_stacks(StackName=f"{stack}-Data")["Stacks"][0]
        except (ClientError, BotoCoreError) as fault:
            raise ClientFault(
                f"the deployment {stack} is not found: {fault}; give --stack and --region and AWS credentials that may "
                "cloudformation:DescribeStacks, or set BLASTWALL_SESSIONS_TABLE, ..._LEASES_TABLE, ..._APPROVALS_TABLE"
            ) from None
        outputs = {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", ())}
        for name, output in OUTPUTS.items():
            known[name] = known[name] or outputs.get(output, "")
            if not known[name]:
                raise ClientFault(f"the stack {stack}-Data has no output {output}: deploy it again")
    for name, function in FUNCTIONS.items():
        known[name] = known[name] or f"{stack}-{function}".lower()
    return OperatorSettings(**known)


class ServiceClock:
    """AWS's own time: a session must not end because an operator's machine has the wrong time.

    ``clock`` measures what passes after the one answer whose Date header is compared with it (RFC 9110, 6.6.1).
    """

    def __init__(self, clock: Clock, date: str) -> None:
        self._clock = clock
        try:
            self._offset = parsedate_to_datetime(date).timestamp() - clock.now()
        except (TypeError, ValueError):  # no date, or none that reads
            self._offset = 0.0
        if abs(self._offset) < EXACT_SECONDS:
            self._offset = 0.0

    def now(self) -> float:
        return self._clock.now() + self._offset

    def monotonic(self) -> float:
        return self._clock.monotonic()


class Operations:
    """Sessions, leases and approvals of a deployment. ``make`` gives boto3 clients by service."""

    def __init__(self, settings: OperatorSettings, clock: Clock, make: Client = client) -> None:
        self._settings = settings
        self._make = make
        dynamodb = make("dynamodb")
        clock = ServiceClock(clock, _date(dynamodb, settings.sessions_table))
        self._functions = Functions(make("lambda"))
        self._approvals = ApprovalTable(dynamodb, settings.approvals_table, clock)
        self._sessions = SessionTable(dynamodb, settings.sessions_table, clock, withdraw=self._withdraw)
        self._leases = AwsLeases(dynamodb, settings.leases_table, settings.sessions_table)

    def who(self) -> str:
        """The ARN of whoever these credentials are. Raises ClientFault."""
        try:
            return str(self._make("sts").get_caller_identity()["Arn"])
        except (ClientError, BotoCoreError) as fault:
            raise ClientFault(f"AWS does not say who you are: {fault}") from None

    async def ls(self, *, live: bool = True) -> Sequence[Standing]:
        """The newest sessions first."""
        return await asyncio.to_thread(lambda: self._sessions.every(live=live))

    async def show(self, id: str) -> Standing | None:
        """One session as it stands now."""
        return await asyncio.to_thread(self._sessions.peek, id)

    async def history(self, id: str) -> Sequence[Lease]:
        """What was vended to a session, and what became of it."""
        return await self._leases.history(id)

    async def kill(self, id: str, reason: str, by: str) -> bool:
        """End a session; its token opens no new one at that target. False: no such live session."""
        ended = await asyncio.to_thread(self._sessions.kill, id, reason, by)
        if ended:
            await self._deny(id)
        return ended

    async def lock(self, agent: str, reason: str, by: str) -> int:
        """End all sessions of an agent and refuse new ones. Returns how many ended."""
        before = await asyncio.to_thread(self._sessions.ls, agent)
        ended = await asyncio.to_thread(self._sessions.lock, agent, reason, by)
        done = await asyncio.gather(*(self._deny(one.session.id) for one in before), return_exceptions=True)
        for fault in done:  # one that cannot be denied now keeps none of the others from it
            if isinstance(fault, BaseException):
                raise fault
        return ended

    async def unlock(self, agent: str) -> bool:
        """False: it was not locked."""
        return await asyncio.to_thread(self._sessions.unlock, agent)

    async def requests(self, *, live: bool) -> Sequence[Filed]:
        """What people are asked, the newest first."""
        return await asyncio.to_thread(lambda: self._approvals.ls(live=live))

    async def request(self, id: str) -> Filed | None:
        """One of them."""
        return await asyncio.to_thread(self._approvals.show, id)

    async def decide(self, id: str, token: Secret, ballot: Ballot) -> Denial | None:
        """Answer a request as whoever the token names; approval_decide verifies it and asks policy. Raises TokenFault,
        UpstreamFault, OurFault."""
        event = {"id": id, "token": token.reveal()} | asdict(ballot)
        answer = await asyncio.to_thread(self._functions, self._settings.approval_decide_function, event)
        refused = raised(answer).get("refused")
        if refused is None:
            return None
        return Denial(DenialCode(refused["code"]), str(refused["reason"]), str(refused.get("hint") or ""))

    async def _deny(self, id: str) -> None:
        """A session's AWS keys have no gateway that would see its end: have them denied now, not within a minute."""
        leases = await self._leases.of(id)
        if not any(lease.kind == "sts" and lease.state is LeaseState.OPEN for lease in leases):
            return
        request = {"session": id, "holder": "operator"}
        raised(await asyncio.to_thread(self._functions, self._settings.session_revoker_function, request))

    def _withdraw(self, session: Session, note: str) -> None:
        for id in self._approvals.withdraw_all(session.principal.identity, session.id, note):
            answer = self._functions(self._settings.approval_decide_function, {"answer": id})
            if "fault" in answer:
                raise OurFault(f"nobody could be told that {id} is over")


def _date(dynamodb: Any, table: str) -> str:  # noqa: ANN401  boto3 has no types
    """The Date header of some answer. Raises ClientFault: nothing can be done without this table."""
    try:
        answer = dynamodb.get_item(TableName=table, Key={"id": {"S": "nobody"}})
    except (ClientError, BotoCoreError) as fault:
        raise ClientFault(f"the table {table} cannot be read: {fault}") from None
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return str(headers.get("date", ""))
