"""Tests of a deployment in a real account: `make test-aws`. What each shows is in docs/real-account.md."""
