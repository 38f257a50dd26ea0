import ssl
import time
from pathlib import Path

import pytest

from blastwall.config.model import ListenerTls
from blastwall.errors import ConfigFault
from fargate_proxy.tls import CERTIFICATE, KEY, certificate_ends, server_context
from rig.certificates import Certificates


def environment(certificates: Certificates) -> dict[str, str]:
    return {CERTIFICATE: certificates.certificate.read_text(), KEY: certificates.key.read_text(), "OTHER": "stays"}


def handshakes(context: ssl.SSLContext, certificates: Certificates) -> bool:
    """In memory, verified against the authority."""
    client = ssl.create_default_context(cafile=str(certificates.ca))
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = context.wrap_bio(to_server, to_client, server_side=True)
    theirs = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    done = set()
    for _ in range(10):
        for side in (theirs, ours):
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                continue
    return len(done) == 2


def test_what_the_environment_gives_is_used_and_forgotten(certificates: Certificates) -> None:
    environ = environment(certificates)
    context = server_context(None, environ)
    assert environ == {"OTHER": "stays"}
    assert context is not None and handshakes(context, certificates)


def test_files_serve_where_the_environment_gives_nothing(certificates: Certificates) -> None:
    files = ListenerTls(certificate=certificates.certificate, key=certificates.key)
    context = server_context(files, {})
    assert context is not None and handshakes(context, certificates)
    assert server_context(None, {}) is None


@pytest.mark.parametrize("broken", [{KEY: ""}, {CERTIFICATE: "nonsense"}])
def test_what_does_not_fit_together_is_told_without_being_shown(
    certificates: Certificates, broken: dict[str, str]
) -> None:
    with pytest.raises(ConfigFault, match="no certificate") as caught:
        server_context(None, environment(certificates) | broken)
    assert "BEGIN" not in str(caught.value)


def test_when_the_certificate_ends_is_known_wherever_it_comes_from(certificates: Certificates, tmp_path: Path) -> None:
    files = ListenerTls(certificate=certificates.certificate, key=certificates.key)
    ends = certificate_ends(files, {})
    assert ends == certificate_ends(None, environment(certificates)) and ends is not None
    assert 0 < ends - time.time() < 400 * 86_400
    assert certificate_ends(None, {}) is None
    assert certificate_ends(files, {CERTIFICATE: "nonsense"}) is None
    assert certificate_ends(ListenerTls(certificate=tmp_path / "none", key=tmp_path / "none"), {}) is None
