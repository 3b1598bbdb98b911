"""ThingPark LRC: reports, downlinks and request tokens."""
