#!/usr/bin/env bash
# The approval page is tried in a real browser: gets one where that is possible. Only `make test` asks for it: nothing is
# installed on the machine of somebody who wants to see the demo. Without one the page's other tests remain
# (tests/e2e/conftest.py).
set -euo pipefail

browser() { command -v chromium chromium-browser google-chrome-stable google-chrome >/dev/null 2>&1 || [[ -n ${BLASTWALL_CHROMIUM:-} ]]; }
if ! browser && [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null 2>&1; then
  echo "test: installing chromium for the tests of the approval page"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; } \
    >/dev/null 2>&1 || true
fi
browser || echo "test: no Chromium here: the approval page's browser tests will not run (apt-get install chromium, or set BLASTWALL_CHROMIUM)"
