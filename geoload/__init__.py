"""Ground floor of both data sets: reading TARs, opening files, and meeting `load_dataset`.

Nothing here knows what Im2GPS or Just Zoom In is.
"""

__version__ = "0.1.0"
