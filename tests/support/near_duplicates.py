"""Pieces of code that are near-duplicates, or not."""

from __future__ import annotations

CODE = """
def total(prices, tax):
    # add everything up
    result = 0
    for price in prices:
        result += price * (1 + tax)
    if result < 0:
        raise ValueError('negative')
    return round(result, 2)
"""
