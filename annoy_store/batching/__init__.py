"""Batches: calls that are handed in together and answered within a day, at half the price.

A call asked online is held by a worker that waits for it. A batch holds thousands, and nobody
waits: so its calls are bound to a row of `batches` and not to a process, and every run comes by.

    binding   pending calls -> a batch: rows first, so that whatever happens later is known
    clerk     one visit: find what got lost, look, take in what has ended, hand in what waits
    taking    lines that came back -> attempts, responses, jobs that ended
    files     the same to and from a file, for `vllm run-batch`, Azure, or a hand
    lines     the format of both files
    telling   what is out, and the command to come back with
"""
