"""Fuzzing: structured inputs that a stranger could send, for every parser of what comes from outside.

Nothing but a QwenbuildError may come out, in bounded time and memory, and no answer of a server may be a 5xx.
"""
