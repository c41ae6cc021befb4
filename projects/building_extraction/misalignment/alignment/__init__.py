"""Building labels laid on the buildings of an image, without clean labels and without training."""
