"""Process environment: devices, memory, random seeds, locks, signals, errors. Imports nothing of the package."""
