"""nanoidp, a SAML identity provider, on a free port of loopback: ``python idp.py FOLDER``. Prints the port."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from nanoidp.app import create_app
from werkzeug.serving import make_server

SETTINGS = """
server: {host: 127.0.0.1, port: 8000}
oauth: {issuer: "http://127.0.0.1:8000", audience: nobody, clients: []}
saml:
  entity_id: https://idp.test/saml
  sign_responses: true
  export_groups: true
  groups_attr_name: groups
"""
USERS = """
users:
  ada: {password: lovelace, email: ada@corp.example, groups: [agents, analysts], roles: [USER]}
  eve: {password: evening, email: eve@corp.example, groups: [visitors], roles: [USER]}
"""

if __name__ == "__main__":
    folder = Path(sys.argv[1]).absolute()
    folder.mkdir()
    os.chdir(folder)  # its keys are made in the working directory
    (folder / "settings.yaml").write_text(SETTINGS)
    (folder / "users.yaml").write_text(USERS)
    server = make_server("127.0.0.1", 0, create_app(str(folder)), threaded=True)
    print(server.server_port, flush=True)
    server.serve_forever()
