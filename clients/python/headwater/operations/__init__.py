"""What can be asked of the service, each operation once for `Client` and `AsyncClient`."""
