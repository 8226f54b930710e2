"""The provider `images`: renders with open weights, at servers of the user's own."""
