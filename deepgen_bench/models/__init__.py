"""What can be fitted to data, and what can be computed of it? Imports `training` and below."""
