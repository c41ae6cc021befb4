"""Post-training quantisation of whole inference graphs, simulated in PyTorch and exported from the same model."""
