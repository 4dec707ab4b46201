"""Which measurements are selected, grouped and compared."""
