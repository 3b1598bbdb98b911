"""Adapters of the ports to DynamoDB, SQS and Secrets Manager. Only these modules use boto3."""
