"""Batch API: calls that are submitted together and answered within a day, at half the price.

An online call is held by a worker that waits for it. A batch holds thousands, and no process
waits: its calls belong to a row of `batches`, and every run polls the open batches.

    reserve   pending calls -> a batch: rows first, so that whatever happens later is known
    client    one pass: find lost batches, poll, import finished results, submit pending calls
    session   one account at one endpoint, and what one pass over its batches has done
    results   result lines -> attempts, responses, finished jobs
    files     the same to and from a file, for `vllm run-batch`, Azure, or an upload by hand
    jsonl     the format of both files
    status    open batches, and the command that imports their results

Imported by worker and commands.
"""
