"""Many short trainings compared: the study of the transfer methods, and the grid of networks and losses."""
