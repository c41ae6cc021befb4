"""The speeds that papers claim, measured on one's own machine."""
