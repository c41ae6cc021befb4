"""Which network is best for buildings: a grid of encoders and decoders, trained and ranked."""
