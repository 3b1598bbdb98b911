"""HTTP calls to a ThingPark network server."""
