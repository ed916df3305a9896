"""From rows to repositories on the Hub that load without code of ours."""
