"""Quantisers side by side: methods x bits x trainings x calibration sets, with intervals."""
