"""The coverage of a set of photos: countries, cells, densities, and a map."""
