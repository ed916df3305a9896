"""Whether a training set contains the photos of a test set, or photos like them."""
