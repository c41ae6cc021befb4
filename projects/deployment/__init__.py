"""What any trained model needs on its way to use."""
