"""A run: the worker loop, its executors and resources, the display, the Ray driver.

Imported by commands.
"""
