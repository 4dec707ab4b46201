"""How are results kept on disk so that nobody reads half or damaged content? Files, downloads, the tidy table and its
keys; imports `runtime` and `plugins`."""
