"""The functions: one folder each, whose ``handler.py`` parses the event, makes one call into the core, and answers."""
