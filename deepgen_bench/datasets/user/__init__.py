"""Images that a user supplies in a folder or in an array file."""
