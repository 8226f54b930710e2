"""What exists already: the store, the state, the lock, outputs, garbage collection and remote caches."""
