"""Tools that make, check, convert and describe data sets."""
