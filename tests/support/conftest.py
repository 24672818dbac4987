"""Fixtures for the tests of the helpers."""

from __future__ import annotations

from tests.inference.backends.conftest import provider

__all__ = ["provider"]
