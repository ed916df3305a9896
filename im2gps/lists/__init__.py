"""From the text of Flickr lists to one table of photos."""
