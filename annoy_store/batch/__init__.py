"""Batch API: calls that are submitted together and answered within a day, at half the price.

A call of the online API is held by a worker that waits for it. A batch holds thousands, and no
process waits: its calls are bound to a row of `batches`, and every run polls.

    reserve   pending calls -> a batch: rows first, so that a crash at any later point is known
    client    one pass: find lost batches, poll, import finished results, submit pending calls
    session   store, worker lease and stage plan of one pass
    results   lines of a result file -> attempts, responses, ended jobs
    files     the same to and from a file, for `vllm run-batch`, Azure, or manual upload
    jsonl     the format of both files
    status    which batches are open, and the command that continues them

Imported by worker and commands.
"""
