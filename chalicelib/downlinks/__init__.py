"""The downlink flow: from a message at the customer's broker to the network server."""
