"""What administrators do besides writing one object: whole policies, what-if, replay, synchronization, entitlement."""
