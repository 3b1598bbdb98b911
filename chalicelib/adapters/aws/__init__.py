"""DynamoDB, SQS and Secrets Manager: the only modules that use boto3."""
