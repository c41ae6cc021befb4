"""Many trainings: planned, executed in processes, resumed, found changed."""
