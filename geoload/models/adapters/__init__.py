"""Models of other libraries; each module has `load(name, options)`, which returns a model."""
