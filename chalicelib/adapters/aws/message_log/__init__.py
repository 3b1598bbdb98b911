"""The message log in DynamoDB: entries of many messages in the items of the statistics."""
