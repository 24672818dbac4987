"""The tracer's craft: how a program reads code, rewrites it, follows it and finds its inputs.

The teacher itself is `teachers/tracer.py`. Rewriting (`reading` .. `rewriting`) is static and runs
nothing; following and searching run `stepper` and `prober`, as texts, inside the sandbox only.
"""
