"""Blastwall's stacks in AWS: what ``cdk deploy`` makes. Synthesis calls no cloud and needs no container engine."""

from stacks import node as node  # before anything of aws_cdk: its kernel wants a Node on the path
