"""What it takes to talk to an OpenAI-compatible endpoint, whichever teacher does it.

A request is worded (`body`), let through (`gate`: `limit`, `budget`, `breaker`), sent
(`transport`), and read (`answers`, `tokens`) or judged (`faults`, `waiting`, `retrying`).
`presets` knows the providers.
"""
