"""Blastwall's CDK app: ``cdk deploy``, or ``python app.py`` to see what would be deployed. It calls no cloud.

Run by itself (not by the CDK's command line) it fetches nothing either: the templates are the same, the functions'
asset lacks its dependencies. What can be chosen with ``-c key=value`` is in docs/deploy.md.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from stacks.synthesis import assemble, context  # isort: skip  (puts a Node on the path, which the CDK needs)

from aws_cdk import App, Validations
from cdk_nag import AwsSolutionsChecks

from blastwall.errors import ConfigFault
from stacks.wildcards import Wildcards

ROOT = Path(__file__).resolve().parent


def main() -> int:
    if len(sys.argv) > 1:  # the CDK's command line takes them, and passes none on
        sys.stderr.write(
            "app.py takes no arguments: choices go to the CDK (npx aws-cdk synth -c topology=dev), or into\n"
        )
        sys.stderr.write('CDK_CONTEXT_JSON=\'{"topology": "dev"}\'\n')
        return 2
    output = os.environ.get("CDK_OUTDIR") or str(ROOT / "cdk.out")
    app = App(context=context(ROOT, os.environ), outdir=output, analytics_reporting=False)
    try:
        assemble(app, ROOT, ROOT / ".cache" / "stacks")
    except (ConfigFault, LookupError, ValueError) as fault:
        sys.stderr.write(f"nothing was synthesized:\n{fault}\n")
        return 1
    Validations.of(app).add_plugins(Wildcards(), AwsSolutionsChecks(app))
    try:
        app.synth()
    except RuntimeError as fault:
        if "ValidationFailed" not in str(fault):
            raise
        return 1  # the findings have been printed, each with its place
    return 0


if __name__ == "__main__":
    sys.exit(main())
