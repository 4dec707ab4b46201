"""What does an experiment file ask for, and what does each of its jobs depend on? Imports `metrics` and below."""
