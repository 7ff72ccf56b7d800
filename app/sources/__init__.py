"""Who tells the service what happens, and what of it was refused."""
