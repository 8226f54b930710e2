"""A local service that speaks DashScope's protocol, with faults to inject and a bill."""
