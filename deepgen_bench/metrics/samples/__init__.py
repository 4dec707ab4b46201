"""Metrics on the samples themselves: transport, two-sample tests, modes, memorisation, Parzen windows."""
