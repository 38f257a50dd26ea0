"""Benchmarks, each a ratio against a peer measured in the same interleaved run: ``python -m bench --help``.

Absolute figures belong to one machine on one day; what is compared with a goal is a ratio, taken pair by pair within
each round, so that whatever slows the machine slows both sides. Loopback only, every wait bounded.
"""
