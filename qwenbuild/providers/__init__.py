"""Who makes the images: the registry of providers, and the built-in ones."""
