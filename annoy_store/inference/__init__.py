"""Model calls: backends, the HTTP client, budgets, prices.

Imported by analysis, batch, benchmark, worker and commands.
"""
