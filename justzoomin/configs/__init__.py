"""The configurations of Just Zoom In: which files each reads, and how they become rows."""
