"""Lists of photos from Flickr: its API, the search for a query, and the folder of what came."""
