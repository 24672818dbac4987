"""Pure functions over text: sections and final answers of responses, JSON values, doctests.

Imports hashing only.
"""
