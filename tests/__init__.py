"""Tests, one folder per sub-package of plugins, and helpers they share."""
