"""HTTP client of OpenAI-compatible endpoints, used by the backends and by batch.

A request is built (`request`), admitted (`admission`: `concurrency`, `rate_limit`,
`circuit_breaker`, `prefix_cache`), sent (`transport`), and read (`response`, `usage`) or classified
(`errors`, `retry_after`, `retry`). `providers` holds the settings of known providers.
"""
