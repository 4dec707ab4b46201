"""The stages of the pipeline, one module each: read files, compute, write files. Data flows in this order."""
