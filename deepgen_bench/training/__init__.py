"""How is a block of replicates trained, resumed and checkpointed? Knows no model; imports `datasets` and below."""
