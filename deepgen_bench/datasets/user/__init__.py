"""The user's own images, from a folder or from an array file."""
