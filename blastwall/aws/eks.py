"""EKS bearer tokens: a presigned GetCallerIdentity, which the cluster has STS answer (aws-iam-authenticator's form).

The token is made by the process's own or by assumed credentials; the cluster maps their role by an access entry. It
opens the API for 15 minutes after it was signed, whatever ``X-Amz-Expires`` says, and cannot be revoked: what ends
access is the session policy of the credentials that signed it, and the gateway that alone holds it.
"""

from __future__ import annotations

import base64
import re
from typing import Any, Final

from botocore.exceptions import BotoCoreError
from botocore.model import ServiceId
from botocore.signers import RequestSigner

from blastwall.errors import UpstreamFault
from blastwall.model import Credential, Secret

PREFIX: Final = "k8s-aws-v1."
CLUSTER_HEADER: Final = "x-k8s-aws-id"
URL_SECONDS: Final = 60
#: A minute less than the authenticator allows, for clocks that differ (seconds).
TOKEN_SECONDS: Final = 14 * 60.0
_CLUSTER: Final = re.compile(r"[0-9A-Za-z][A-Za-z0-9_-]{0,99}")


def bearer_token(session: Any, cluster: str, region: str, now: float) -> Credential:  # noqa: ANN401  boto3 has no types
    """A token for a cluster. ``session`` is a boto3 session, with whose credentials it is signed; nothing is sent.

    Raises ValueError for what is no cluster's name, UpstreamFault without credentials.
    """
    if not _CLUSTER.fullmatch(cluster):
        raise ValueError(f"{cluster!r} is no name of an EKS cluster")
    credentials = session.get_credentials()
    if credentials is None:
        raise UpstreamFault(f"no token for {cluster}: there are no AWS credentials to sign with")
    signer = RequestSigner(ServiceId("STS"), region, "sts", "v4", credentials, session.events)
    request = {
        "method": "GET",
        "url": f"https://sts.{region}.{_suffix(region)}/?Action=GetCallerIdentity&Version=2011-06-15",
        "body": {},
        "headers": {CLUSTER_HEADER: cluster},
        "context": {},
    }
    try:
        url = signer.generate_presigned_url(request, "GetCallerIdentity", URL_SECONDS, region, "sts")
    except BotoCoreError as fault:
        raise UpstreamFault(f"no token for {cluster}: {fault}") from None
    token = PREFIX + base64.urlsafe_b64encode(url.encode()).rstrip(b"=").decode("ascii")
    return Credential(cluster, Secret(token), "iam", now + TOKEN_SECONDS)


def _suffix(region: str) -> str:
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
