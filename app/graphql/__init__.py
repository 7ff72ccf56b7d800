"""The GraphQL interface of the service."""
