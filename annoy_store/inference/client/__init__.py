"""HTTP client for OpenAI-compatible endpoints, whichever backend uses it.

A call's body is built (`request`), admitted (`admission`, which joins `concurrency`, `rate_limit`
and `circuit_breaker`; `prefix_cache` orders prompts that begin alike), sent (`transport`) and
parsed (`response`, `usage`) or classified as an error (`errors`, `retry_after`, `retry`).
`batch_api` uploads files and manages batches. `providers` holds the presets, `peak_hours` the
hours in which a provider is more expensive.
"""
