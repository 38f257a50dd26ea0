"""The shared core: values, contracts, pure rules, protocols and adapters. See docs/architecture.md."""
