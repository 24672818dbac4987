"""How each kind of row is built, identified and selected.

Imports db, prompts and what they import.
"""
