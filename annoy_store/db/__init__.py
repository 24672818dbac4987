"""The database: engine, dialects, tables, views, migrations.

Imports errors, hashing and interfaces only; every package that stores rows imports it.
"""
