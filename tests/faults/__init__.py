"""Faults at every call: builds are killed, or one of their calls of the C library fails; the next builds repair it."""
