"""Command-line tools, importable for reuse and tests."""
