"""Where do examples come from, and what are they? Imports `storage` and below."""
