"""What enters the store: source files, takedowns, data of other pipelines.

Imported by maintenance and commands.
"""
