"""What does a process run on, and how does it end? Devices, memory, random seeds, locks, signals, errors; imports
nothing of the package."""
