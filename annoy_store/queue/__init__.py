"""The job queue: enqueue, claim, settle, reclaim; workers and their leases.

Imported by inference, batch, ingest, analysis, maintenance, worker and web.
"""
