"""Notifications in DynamoDB, their secrets in Secrets Manager, topics of SNS and the function that sends."""
