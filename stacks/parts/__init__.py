"""Constructs: each takes what it needs and exposes what it made. None of them grants anything."""
