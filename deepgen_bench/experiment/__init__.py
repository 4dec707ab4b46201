"""What does an experiment file ask for, and what does each of its jobs depend on? Imports `studies` (their base
classes) and below."""
