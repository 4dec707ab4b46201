"""Which measurements are selected, grouped and compared; no tables and no figures."""
