"""What reaches the server from outside: API endpoints, uploads and their limits."""
