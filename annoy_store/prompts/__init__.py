"""Prompt templates: Markdown files in `templates/`, filled in and read back by `template.py`.

Imports errors and hashing only.
"""
