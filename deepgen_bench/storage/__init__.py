"""Storage on disk that detects incomplete and damaged files: files, downloads, the tidy table and its keys. Imports
`runtime` and `plugins`."""
