"""What a set of photos covers: countries, cells, densities, and a map of them."""
