"""From a table of photos to training shards, on one machine or on a cluster."""
