"""Tools that look at results: reports, calibration, sweeps of the protocols, simulations."""
