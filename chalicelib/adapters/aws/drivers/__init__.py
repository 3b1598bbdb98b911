"""Drivers in DynamoDB, and the function that runs them."""
