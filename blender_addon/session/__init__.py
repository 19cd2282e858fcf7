"""The talk with the backend: connection, local process, jobs, and what arrives from them."""
