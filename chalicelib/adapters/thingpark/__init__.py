"""HTTP client of a ThingPark network server."""
