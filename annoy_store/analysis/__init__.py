"""Read-only views of a store: SQL, snapshot, status, forecasts, failures, lineage.

Imported by report, web, maintenance and commands.
"""
